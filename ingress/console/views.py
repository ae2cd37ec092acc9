"""The console's pages that show."""

from datetime import UTC, datetime

from aiohttp import web

from ingress import operator_asked as asked
from ingress.asked import event_id_of_path, unknown_event
from ingress.console import lists, overview
from ingress.console.acts import Acts
from ingress.console.effective import shown_settings
from ingress.console.lists import ROWS
from ingress.console.people import people
from ingress.console.story import standing, timeline
from ingress.console.visit import Visit, page
from ops.alerts.store import AlertStore
from ops.inspect import read_stories, select_events
from ops.postgres import translated
from ops.queries import query
from ops.telling import hidden_message, was_sent
from schema.identity import ACTIONS
from schema.status import FINAL

_WEEK_S = 7 * 86_400.0


class Console(Acts):
    """Handlers of ``/console…``."""

    @page
    async def overview(self, visit: Visit) -> web.Response:
        """``GET /console``."""
        span = visit.request.query.get("span", "1h")
        span = span if span in overview.SPANS else "1h"
        seen = await overview.look(self.operating, span, visit.language)
        return self.show(visit, "overview", span=span, spans=list(overview.SPANS), **seen)

    @page
    async def events(self, visit: Visit) -> web.Response:
        """``GET /console/events``."""
        given = lists.given(visit.request)
        which = asked.events(lists.understood(given) | {"limit": str(ROWS)}, datetime.now(UTC))
        with translated("listing events"):
            rows = await select_events(self.operating.pool, which)
        onward = asked.event_cursor(rows[-1]) if len(rows) == ROWS else None
        return self.show(
            visit, "events", rows=rows, given=given, onward=onward, statuses=asked.STATUSES,
            actions=sorted(ACTIONS), query_string=visit.request.query_string, person=False,
        )  # fmt: skip

    @page
    async def event(self, visit: Visit) -> web.Response:
        """``GET /console/events/{event_id}``."""
        return await self.event_page(visit)

    async def event_page(
        self, visit: Visit, payload: str | None = None, message: str | None = None
    ) -> web.Response:
        """An event's story; with its payload or its message where that was just revealed."""
        event_id = event_id_of_path(visit.request)
        found = await read_stories(self.settings, event_id)
        if not found.stories:
            raise unknown_event()
        story = found.stories[0]
        row = story.row or {}
        facts = timeline(story, visit.language)
        status = standing(facts, str(row.get("status") or ""))
        has_message = bool(hidden_message(story))
        return self.show(
            visit, "event", story=story, row=row, notes=found.notes, facts=facts, latest=status,
            known=story.facts[0].event if story.facts else None,
            has_message=has_message, sent=has_message and was_sent(story), message=message, payload=payload,
            masked=None if payload is not None else await self.masked(event_id),
            is_final=status in FINAL, is_dead=status == "failed",
            done=visit.request.query.get("done") == "replayed",
        )  # fmt: skip

    @page
    async def dead(self, visit: Visit) -> web.Response:
        """``GET /console/dead``."""
        given = lists.given(visit.request)
        wanted = lists.understood(given) | {"limit": str(ROWS)}
        which, after, limit = asked.letters(wanted, datetime.now(UTC))
        letters = []
        async for letter in self.operating.dead.found(which, after):
            letters.append(letter)
            if len(letters) == limit:
                break
        onward = asked.letter_cursor(letters[-1]) if len(letters) == limit else None
        done, count = (visit.request.query.get(name, "") for name in ("done", "count"))
        done = done if done in ("replayed", "discarded") and count.isdigit() else ""
        return self.show(visit, "dead", letters=letters, given=given, onward=onward, done=done, count=count)

    @page
    async def leads(self, visit: Visit) -> web.Response:
        """``GET /console/leads``."""
        given = lists.given(visit.request)
        lead = given.get("lead", "")
        after = lists.place_of(given.get("after")) or (None, None)
        with translated("listing leads"):
            rows = await self.operating.pool.fetch(query("leads_list"), lead or None, ROWS, *after)
        onward = lists.place(rows[-1]["updated_at"], rows[-1]["lead_id"]) if len(rows) == ROWS else None
        return self.show(visit, "leads", rows=rows, lead=lead, given=given, onward=onward)

    @page
    async def people(self, visit: Visit) -> web.Response:
        """``GET /console/people``: masked."""
        given = lists.given(visit.request)
        rows = await people(self.operating, ROWS, lists.numbered_place_of(given.get("after")))
        onward = lists.place(rows[-1]["at"], rows[-1]["id"]) if len(rows) == ROWS else None
        return self.show(visit, "people", rows=rows, given=given, onward=onward)

    @page
    async def alerts(self, visit: Visit) -> web.Response:
        """``GET /console/alerts``."""
        async with self.operating.pool.acquire() as connection:
            found = await AlertStore(connection).recent(_WEEK_S)
        return self.show(visit, "alerts", alerts=found)

    @page
    async def effective(self, visit: Visit) -> web.Response:
        """``GET /console/settings``: as this process has them; no secret."""
        return self.show(visit, "settings", areas=shown_settings(self.settings))

    @page
    async def actions(self, visit: Visit) -> web.Response:
        """``GET /console/actions``."""
        return self.show(visit, "actions", rows=await self.operating.audit.latest(200))
