"""Why each check of `c2s doctor` matters: what would happen if it were left so."""

_REASONS = (
    ("settings of ingress", "the door would refuse to start: no webhook would be taken"),
    ("settings of processor", "no processor would start: webhooks are kept, but nobody is messaged"),
    ("settings of projector", "the projector would not start: leads are served, but the record stands still"),
    ("sealing", "whoever reads the database or a backup of it reads people's data"),
    ("redis persistence", "webhooks that were answered 200 would be gone after a restart of Redis"),
    ("redis eviction", "a full Redis would drop webhooks or what tells repeats apart, without a word"),
    ("redis version", "commands that the protocol needs are missing"),
    ("redis clock", "webhooks signed now would be refused as expired"),
    ("redis", "webhooks go to the spool in Postgres and no lead is worked on until Redis answers"),
    ("postgres version", "the server gets no fixes any more"),
    ("postgres clock", "the record's times, and alerts judged by them, would be wrong"),
    ("postgres", "leads are served, but nothing is recorded, and nothing could be kept if Redis failed too"),
    ("migrations", "services and commands meet tables that they do not know"),
    ("stream", "without stream and group nobody works on what comes"),
    ("pending", "leads wait while a broker could be on the phone with them"),
    ("dead letters", "these leads got no message, and get none until somebody decides"),
    ("partitions", "leads of the other number could wait unseen, or their webhooks overtake each other"),
    ("circuit", "leads that need this API wait until it answers again"),
    ("c2s token", "no lead can be read and no message sent; the work waits"),
    ("webhooks", "leads may be going elsewhere: C2S keeps one endpoint per token"),
    ("reconcile", "a webhook that C2S never sent would be missed for good"),
)


def why(check: str) -> str:
    """The reason of a check, by the beginning of its name; empty for one without."""
    return next((reason for name, reason in _REASONS if check.startswith(name)), "")
