"""docs/performance.md, made of bench-results/: a table for each scenario, and what bounds it."""

import json
from pathlib import Path
from typing import Any

from bench.figures import shown

HEAD = """# Performance

Written by `make bench ARGS="--write"` from the last run of each scenario (`bench-results/`): median
(least to most). What is measured has one core to itself, load and servers the other. On a machine that others
use at the same time, rates say little; processor time and counts say more. How far one machine goes:
[scaling.md](scaling.md).
"""
BOUNDS = {
    "ingress": "Python in the door: sockets and aiohttp's parser, two thirds of the floor, are ours too;"
    " beside them the signature, JSON, the event's id, the log line and the batch's round trip.",
    "sealing": "AES-GCM twice, the text under its data key and that under a key of PAYLOAD_KEYS, and base64,"
    " on top of the above.",
    "processing": "Two scripts and ten commands inside them per event; then Python in the engine."
    " Two processes and Redis have two cores between them here: without work one process and Redis fill"
    " them.",
    "projection": "Postgres's statements and what the loop does between them, one after the other; a thread"
    " decodes the next batch meanwhile and makes its rows, which is more than half of Python's time. Of"
    " Postgres's a third is `event_log`, a fifth `webhook_events`, a fifth persons and subjects.",
    "end_to_end": "Processor time of each lead's outside calls: three processors share one core here, all"
    " else the other.",
    "commands": "One by one, every step is a round trip of its own; saturated, many leads share a script. The"
    " least for a lead with all outside calls, alone, is eight: the append, the blocking read, the"
    " lease (`enter`), a question before each of two look-ups, the send intent, the end (`finish`) and"
    " the projector's read. The second look-up asks for the CPF that the first one found; both ask in"
    " the hash slot that all leads share, which no script of a lead's own slot may touch; and the"
    " intent must be on record before the message leaves. A ninth is the projector's: a lead whose"
    " calls take longer than a moment is read twice, as received and as ended.",
    "idle": "`BLOCK_SECS`: one blocking read a minute of each; a look for crashed owners every half hour, and"
    " a check of the alerts every three hours, are all that comes on top.",
    "growth": "Of all steps only the record's looks anything up in what has grown, by ids that are random:"
    " each is in another page of its index.",
    "startup": "Imports.",
    "budget": "The limit itself: sixty calls a minute.",
}


def write(results: Path, page: Path) -> None:
    """Write the page; of what was not measured anew it keeps the figures that it has."""
    had = {part.partition("\n")[0]: part for part in page.read_text(encoding="utf-8").split("\n## ")}
    parts = [HEAD]
    for name, bound in BOUNDS.items():
        kept = results / f"{name}.json"
        if kept.is_file():
            found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
            figures = "\n".join(shown(what, value).rstrip() for what, value in found.items())
        elif name in had:
            figures = had[name].split("```")[1].strip("\n")
        else:
            continue
        parts.append(f"## {name}\n\n```\n{figures}\n```\n\nBound by: {bound}\n")
    page.write_text("\n".join(parts), encoding="utf-8")
