"""The console's forms: search a person, reveal a payload or a message, replay and discard dead letters."""

from abc import abstractmethod
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from ingress import operator_asked as asked
from ingress.asked import event_id_of_path, unknown_event
from ingress.console.lists import understood
from ingress.console.visit import Entrance, Visit, form, redirect
from ingress.problems import Refusal
from ops.dead import Filter
from ops.operating import Selection
from ops.person_search import find_events
from schema.identity import ACTIONS

_LEAST_REASON, _MOST_REASON = 3, 300
_FOUND = 50
_LONGEST_TERM = 254
_FILTERS = ("lead", "code", "since")


class Acts(Entrance):
    """What changes something, or shows personal data: each is noted with its reason."""

    @abstractmethod
    async def event_page(
        self, visit: Visit, payload: str | None = None, message: str | None = None
    ) -> web.Response: ...

    @form
    async def search(self, visit: Visit) -> web.Response:
        """``POST /console/events/search``: by POST, so that no personal data stands in an address."""
        term = visit.field("person").strip()[:_LONGEST_TERM]
        noted = await self.operating.audit.note(visit.actor, "person_searched")
        rows = await find_events(self.operating.pool, self.operating.codec, term, _FOUND) if term else []
        await self.operating.audit.done(noted, len(rows))
        return self.show(
            visit, "events", rows=rows, given={}, onward=None, statuses=asked.STATUSES,
            actions=sorted(ACTIONS), query_string="", person=True,
        )  # fmt: skip

    @form
    async def reveal(self, visit: Visit) -> web.Response:
        """``POST /console/events/{event_id}/reveal``: its message, or else its webhook."""
        event_id = event_id_of_path(visit.request)
        if visit.field("what") == "message":
            message = await self.operating.message(visit.actor, event_id, _reason(visit))
            if message is None:
                raise unknown_event()
            return await self.event_page(visit, message=message)
        payload = await self.operating.payload(visit.actor, event_id, _reason(visit))
        if payload is None:
            raise unknown_event()
        return await self.event_page(visit, _pretty(payload))

    @form
    async def preview(self, visit: Visit) -> web.Response:
        """``POST /console/dead/preview``: what an act would concern and cost; nothing is done."""
        selection = _selection(visit)
        cost = await self.operating.cost(selection)
        given = {name: visit.field(name) for name in _FILTERS if visit.field(name)}
        if selection.which.since is not None:  # an age would have moved on by the time it is confirmed
            given["since"] = selection.which.since.isoformat()
        act = "discard" if visit.field("act") == "discard" else "replay"
        return self.show(
            visit, "preview", cost=cost, act=act, given=given, events=sorted(selection.events),
            words=selection.words(),
        )  # fmt: skip

    @form
    async def act(self, visit: Visit) -> web.Response:
        """``POST /console/dead/act``."""
        reason, selection = _reason(visit), _selection(visit)
        if visit.field("act") == "discard":
            count = await self.operating.discard(visit.actor, selection, reason)
            return redirect(f"/console/dead?done=discarded&count={count}")
        count = await self.operating.replay(visit.actor, selection, reason)
        if len(selection.events) == 1 and count:
            return redirect(f"/console/events/{next(iter(selection.events))}?done=replayed")
        return redirect(f"/console/dead?done=replayed&count={count}")

    async def masked(self, event_id: str) -> str:
        """An event's body with its values hidden; empty where there is none on record."""
        found = await self.operating.masked(event_id)
        return "" if found is None else orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def _reason(visit: Visit) -> str:
    reason = visit.field("reason").strip()
    if not _LEAST_REASON <= len(reason) <= _MOST_REASON:
        detail = f"Say why, in {_LEAST_REASON} to {_MOST_REASON} characters."
        raise Refusal(422, "reason_missing", detail, event="operator.refused")
    return reason


def _selection(visit: Visit) -> Selection:
    given = {name: visit.field(name) for name in _FILTERS if visit.field(name)}
    which, _, _ = asked.letters(understood(given), datetime.now(UTC))
    events = frozenset(asked.event_id(text) for text in visit.fields.get("event", []))
    if not events and not visit.field("all"):
        detail = "Select at least one dead letter."
        raise Refusal(422, "selection_missing", detail, event="operator.refused")
    return Selection(which if not events else Filter(), events)


def _pretty(payload: str) -> str:
    try:
        found: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
