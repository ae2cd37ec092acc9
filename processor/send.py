"""Send: one message per event, as far as the outside world allows.

Protocol: take the turn in C2S's budget -> record the intent (fenced), and with it the steps that led here ->
POST with the marker -> `finish`, which is the record of the send. Redis is the authority on intents, C2S on
messages. Whoever finds an intent in an event that is not finished, or works on one whose earlier attempt
ended unseen, first reads the lead and looks for the marker: found -> it was sent; absent -> POST; unreadable
-> wait. A POST that certainly had no effect (refused, 4xx, 429) takes the intent back.

A crash between POST and finish therefore costs a look at the lead. Where nobody may look (`at_most_once`),
it is recorded by itself that the message was *sent*.

The turn comes first, so that no wait lies between intent and POST: an ambiguous send settles from then on.

What can go wrong: C2S may carry out a POST long after we gave up on it; so an ambiguous send is looked up
only after `settle_s`. A process stopped between the last look at its lease and the system call that sends
cannot be fenced from outside: `Work.still_mine` makes that window microseconds wide, not zero.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import structlog

from ops.crashpoints import reached
from processor.store import LeadStore
from processor.work import INTENT, Work
from schema.errors import Ambiguous, Permanent, Throttled
from schema.identity import marker
from schema.lead import Lead

log = structlog.get_logger()

SENT, SETTLE = "sent", "settle"


class Messenger(Protocol):
    """What sending needs of C2S."""

    async def get_lead(self, lead_id: str) -> Lead: ...
    async def create_message(self, lead_id: str, body: str) -> None: ...


Reserve = Callable[[Work, str], Awaitable[None]]


async def no_reserve(_work: Work, _api: str) -> None:
    """Every call takes its own turn."""


class Sender:
    """Sends a prepared message once."""

    def __init__(
        self,
        c2s: Messenger,
        store: LeadStore,
        *,
        policy: Literal["verify", "at_most_once"],
        settle_s: float,
        reserve: Reserve = no_reserve,
    ) -> None:
        self._c2s = c2s
        self._store = store
        self._policy = policy
        self._settle_s = settle_s
        self._reserve = reserve

    async def send_once(self, work: Work, text: str) -> str:
        """Make sure the lead has the message; its marker.

        Raises:
            LeaseLost: another owns the lead.
            PipelineError: not now (see `schema.errors`); an `Ambiguous` leaves the intent standing.
        """
        event = work.event
        ref = marker(event.event_id)
        if work.steps.get(SENT):
            return ref
        intent = work.steps.get(INTENT, "")
        if intent and self._policy == "at_most_once":
            raise Permanent(
                "an earlier send may have arrived and SEND_POLICY=at_most_once forbids another",
                code="send_unconfirmed",
                api="c2s",
            )
        if (intent or work.verify) and await self._is_there(work, intent, ref):
            await self._store.record(work.lease, event.event_id, {SENT: ref})
            return ref
        await self._post(work, text)
        if self._policy == "at_most_once":
            await self._store.record(work.lease, event.event_id, {SENT: ref})
        reached("send.after_done")
        return ref

    async def _is_there(self, work: Work, intent: str, ref: str) -> bool:
        # A lost entry's intent may have been lost with it, so its replay counts as one made just then.
        since = max(float(intent or 0), float(work.steps.get(SETTLE) or 0))
        if since:
            # Both times are Redis's: the intent may be another machine's.
            age = max(0.0, work.now_s() - since)
            if age < self._settle_s:
                raise Throttled(
                    "an earlier send may still arrive; looking again when it has settled",
                    code="send_settling",
                    api="c2s",
                    retry_after_s=self._settle_s - age,
                )
        lead = await self._c2s.get_lead(work.event.lead_id)
        found = any(ref in message for message in lead.messages)
        log.info("send.verified", **work.names(), found=found)
        return found

    async def _post(self, work: Work, text: str) -> None:
        event = work.event
        await self._reserve(work, "c2s")
        reached("send.before_intent")
        intent = {**work.unrecorded, INTENT: f"{work.now_s():.3f}"}
        grant = work.reserved.get("c2s")
        hurry = grant is None or grant.paced
        await self._store.record(work.lease, event.event_id, intent, hurry=hurry)
        work.unrecorded.clear()
        work.sending = True
        reached("send.after_intent")
        work.still_mine()
        try:
            await self._c2s.create_message(event.lead_id, text)
        except Ambiguous as error:
            log.warning("send.ambiguous", **work.names(), code=error.code)
            raise Ambiguous(
                str(error), code=error.code, api=error.api, retry_after_s=self._settle_s
            ) from error
        except Exception:
            # Every other error of this call says that nothing was sent: take the intent back.
            await self._store.record(work.lease, event.event_id, {INTENT: ""})
            work.sending = False
            raise
        reached("send.after_post")
