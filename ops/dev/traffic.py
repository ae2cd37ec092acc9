"""Sample traffic: signed webhooks about invented leads, so that a newcomer sees leads flow.

A burst first, one of each special case and body shape, then one webhook now and then.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from ops.sandbox.people import Kind, sample_lead_id
from ops.sandbox.webhooks import SHAPES, Shape, signature, webhook_body
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


async def send_samples(
    webhook_url: str, secret: str, trouble: Callable[[str], None], pause_s: float = PAUSE_S
) -> None:
    """Send samples until cancelled; the burst at once, then one every ``pause_s`` seconds.

    Args:
        webhook_url: the door.
        secret: signs the webhooks.
        trouble: told, in one line, what became of a webhook that was not taken.
        pause_s: seconds between two webhooks after the burst.
    """
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for number, sample in enumerate(samples(run_name(datetime.now(UTC)))):
            if number >= len(_BURST):
                await asyncio.sleep(pause_s)
            try:
                status = await post(session, webhook_url, secret, sample)
            except (aiohttp.ClientError, TimeoutError) as error:
                trouble(f"the sample webhook of {sample.lead_id} found no answer: {type(error).__name__}")
                continue
            if status != 200:  # noqa: PLR2004 -- HTTP OK
                trouble(f"the sample webhook of {sample.lead_id} was answered {status}")


async def post(session: aiohttp.ClientSession, webhook_url: str, secret: str, sample: Sample) -> int:
    """Sign and send one sample; the HTTP status."""
    body = webhook_body(sample.lead_id, sample.action, sample.shape, datetime.now(UTC))
    headers = {"Content-Type": "application/json", "X-C2S-Signature": signature(body, secret)}
    url = URL(webhook_url)
    if sample.shape == "get":  # this shape has no other place for its action
        url = url.update_query(action=sample.action)
    async with session.post(url, data=body, headers=headers) as response:
        await response.read()
        return response.status
