"""Sample traffic: invented leads, so that a newcomer sees leads flow.

A burst first, one of each special case and body shape, then one webhook now and then. The sandbox makes the
leads and sends their webhooks, so that its list of leads has them: `c2s reconcile` compares with it.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from ops.sandbox.people import Kind, sample_lead_id
from ops.sandbox.webhooks import SHAPES, Shape
from schema.identity import CREATE, UPDATE

PAUSE_S = 20.0
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_UPDATE_EVERY = 5
_BURST: tuple[tuple[Kind, Shape], ...] = (
    (Kind.ORDINARY, "data"),
    (Kind.TWINS, "attributes"),
    (Kind.ORDINARY, "seed"),
    (Kind.NOMATCH, "lead"),
    (Kind.PHONEONLY, "get"),
    (Kind.EMAILONLY, "data"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample webhook."""

    lead_id: str
    action: str
    shape: Shape


def samples(run: str) -> Iterator[Sample]:
    """The webhooks of one run, without end: the burst, then now and then an update of an earlier lead.

    Args:
        run: tells this run's leads from another's, e.g. its start time.
    """
    known: list[str] = []
    for number, (kind, shape) in enumerate(_BURST):
        name = "lead" if kind is Kind.ORDINARY else kind.value
        known.append(f"{name}-{run}-{number:05d}")
        yield Sample(known[-1], CREATE, shape)
    for number in itertools.count(len(_BURST)):
        if number % _UPDATE_EVERY == 0:
            yield Sample(known[-1], UPDATE, "attributes")
            continue
        known = [sample_lead_id(number, run)]
        yield Sample(known[-1], CREATE, SHAPES[number % len(SHAPES)])


def run_name(now: datetime) -> str:
    """A short name for the run that starts now."""
    return f"{int(now.timestamp()):x}"


@dataclass(frozen=True, slots=True)
class Ways:
    """Where the sandbox is that sends, and the door it sends to."""

    sandbox_url: str
    webhook_url: str


async def send_samples(ways: Ways, trouble: Callable[[str], None], pause_s: float = PAUSE_S) -> None:
    """Send samples until cancelled; the burst at once, then one every ``pause_s`` seconds.

    Args:
        ways: from where and to where.
        trouble: told, in one line, what became of a webhook that was not taken.
        pause_s: seconds between two webhooks after the burst.
    """
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for number, sample in enumerate(samples(run_name(datetime.now(UTC)))):
            if number >= len(_BURST):
                await asyncio.sleep(pause_s)
            try:
                delivered = await order(session, ways, sample)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                trouble(f"the sandbox did not send the sample of {sample.lead_id}: {type(error).__name__}")
                continue
            if "error" in delivered:
                trouble(f"the sample webhook of {sample.lead_id} found no answer: {delivered['error']}")
            elif delivered["status"] != 200:  # noqa: PLR2004 -- HTTP OK
                trouble(f"the sample webhook of {sample.lead_id} was answered {delivered['status']}")


async def order(session: aiohttp.ClientSession, ways: Ways, sample: Sample) -> dict[str, Any]:
    """Have the sandbox make or change a sample's lead and send its webhook; what became of that.

    Raises:
        aiohttp.ClientError: nothing answers there.
        ValueError: the answer makes no sense.
    """
    form = {"deliver": True, "action": sample.action, "shape": sample.shape, "url": ways.webhook_url}
    path = f"/_sandbox/leads/{sample.lead_id}"
    if sample.action == CREATE:
        path, form["leads"] = "/_sandbox/leads", [{"id": sample.lead_id}]
    async with session.post(ways.sandbox_url + path, json=form) as answer:
        answer.raise_for_status()
        (delivered,) = (await answer.json())["deliveries"]
        return dict(delivered)
