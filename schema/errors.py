"""Every error of ours, under one root. The *type* decides what happens next, never the text.

Texts are for people: what happened, to which lead or event, what to do. They hold no personal data,
because they travel into logs, outcomes and rows.
"""


class LeadstreamError(Exception):
    """Root of every error this project raises on purpose."""


class SettingsError(LeadstreamError):
    """A setting is missing, malformed or contradicts another; the text names it."""


class MigrationError(LeadstreamError):
    """The database's migrations and ours disagree; nothing was changed."""


class BodyError(LeadstreamError):
    """A webhook body, or one element of a batch, cannot be taken.

    Attributes:
        code: stable code of the problem document, e.g. ``lead_id_missing``.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class CodecError(LeadstreamError):
    """A stored text cannot be opened: changed, cut short, or of another event or field."""


class KeyMissing(CodecError):  # noqa: N818 -- a state of the world
    """A stored text was sealed with a key that is not at hand: set it, and it opens."""


class LeaseLost(LeadstreamError):  # noqa: N818 -- a state of the world, named as the field names it
    """Another instance owns the lead now (or the lease lapsed): change nothing, walk away."""


class StorageUnavailable(LeadstreamError):  # noqa: N818 -- as above
    """Redis or Postgres cannot be reached or refuses to write; trying later may help."""


class PipelineError(LeadstreamError):
    """Root of what a processing attempt can end with.

    Attributes:
        api: the outside API concerned (``c2s``, ``diretrix``, ``work``), or empty.
        code: stable short code, e.g. ``c2s_timeout``; goes into outcomes and metrics.
    """

    def __init__(self, detail: str, *, code: str, api: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.api = api


class Retryable(PipelineError):  # noqa: N818 -- DESIGN.md's names
    """It may work later: spend an attempt, back off, try again.

    Attributes:
        retry_after_s: the least wait in seconds that the other side asked for, or None.
    """

    def __init__(self, detail: str, *, code: str, api: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(detail, code=code, api=api)
        self.retry_after_s = retry_after_s


class Permanent(PipelineError):  # noqa: N818
    """It will never work: dead letter at once, no retry."""


class Ambiguous(Retryable):
    """The request may or may not have had its effect (time-out, reset or 5xx after sending)."""


class Throttled(Retryable):
    """The other side or our own budget says *not now*: wait, spend no attempt."""


class Unauthorized(Throttled):
    """Our token was refused (401/403): work waits for the operator, nothing is dead-lettered."""


class CircuitOpen(Throttled):
    """The API's circuit breaker is open: wait, spend no attempt."""
