"""The console's pages that show."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from ingress import operator_asked as asked
from ingress.answers import mask_cpf
from ingress.asked import event_id_of_path, unknown_event
from ingress.console import overview
from ingress.console.acts import Acts
from ingress.console.story import standing, timeline
from ingress.console.visit import Visit, page
from ops.alerts.store import AlertStore
from ops.inspect import read_stories, select_events
from ops.operating import Operating
from ops.persons import Persons
from ops.postgres import translated
from ops.queries import query
from ops.settings import Settings
from ops.telling import message_of, was_sent
from schema.errors import CodecError
from schema.identity import ACTIONS
from schema.status import FINAL

_ROWS = 50
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
        given = {name: value for name, value in visit.request.query.items() if value and name != "lang"}
        which = asked.events(given | {"limit": str(_ROWS)}, datetime.now(UTC))
        with translated("listing events"):
            rows = await select_events(self.operating.pool, which)
        onward = asked.event_cursor(rows[-1]) if len(rows) == _ROWS else None
        return self.show(
            visit, "events", rows=rows, given=given, onward=onward, statuses=asked.STATUSES,
            actions=sorted(ACTIONS), query_string=visit.request.query_string, person=False,
        )  # fmt: skip

    @page
    async def event(self, visit: Visit) -> web.Response:
        """``GET /console/events/{event_id}``."""
        return await self.event_page(visit)

    async def event_page(self, visit: Visit, payload: str | None = None) -> web.Response:
        """An event's story; with its payload where that was just revealed."""
        event_id = event_id_of_path(visit.request)
        found = await read_stories(self.settings, event_id)
        if not found.stories:
            raise unknown_event()
        story = found.stories[0]
        row = story.row or {}
        facts = timeline(story, visit.language)
        status = standing(facts, str(row.get("status") or ""))
        message = message_of(story, self.operating.codec)
        return self.show(
            visit, "event", story=story, row=row, notes=found.notes, facts=facts, latest=status,
            known=story.facts[0].event if story.facts else None,
            message=message, sent=bool(message) and was_sent(story), payload=payload,
            masked=None if payload is not None else await self.masked(event_id),
            is_final=status in FINAL, is_dead=status == "failed",
            done=visit.request.query.get("done") == "replayed",
        )  # fmt: skip

    @page
    async def dead(self, visit: Visit) -> web.Response:
        """``GET /console/dead``."""
        given = {name: value for name, value in visit.request.query.items() if value and name != "lang"}
        done = given.pop("done", "")
        count = given.pop("count", "")
        which, after, limit = asked.letters(given | {"limit": str(_ROWS)}, datetime.now(UTC))
        letters = []
        async for letter in self.operating.dead.found(which, after):
            letters.append(letter)
            if len(letters) == limit:
                break
        onward = asked.letter_cursor(letters[-1]) if len(letters) == limit else None
        done = done if done in ("replayed", "discarded") and count.isdigit() else ""
        return self.show(visit, "dead", letters=letters, given=given, onward=onward, done=done, count=count)

    @page
    async def leads(self, visit: Visit) -> web.Response:
        """``GET /console/leads``."""
        lead = visit.request.query.get("lead", "").strip()
        with translated("listing leads"):
            rows = await self.operating.pool.fetch(query("leads_list"), lead or None, _ROWS)
        return self.show(visit, "leads", rows=rows, lead=lead)

    @page
    async def people(self, visit: Visit) -> web.Response:
        """``GET /console/people``: masked."""
        return self.show(visit, "people", rows=await people(self.operating))

    @page
    async def alerts(self, visit: Visit) -> web.Response:
        """``GET /console/alerts``."""
        async with self.operating.pool.acquire() as connection:
            found = await AlertStore(connection).recent(_WEEK_S)
        return self.show(visit, "alerts", alerts=found)

    @page
    async def effective(self, visit: Visit) -> web.Response:
        """``GET /console/settings``: as this process has them; no secret."""
        return self.show(visit, "settings", rows=shown_settings(self.settings))

    @page
    async def actions(self, visit: Visit) -> web.Response:
        """``GET /console/actions``."""
        return self.show(visit, "actions", rows=await self.operating.audit.latest(200))


async def people(operating: Operating) -> list[dict[str, Any]]:
    """The people found last: initials and the middle of the CPF."""
    found = []
    with translated("listing people"):
        async with operating.pool.acquire() as connection:
            rows = await connection.fetch(query("people_list"), _ROWS)
            try:
                persons: Mapping[str, Any] = await Persons(operating.codec).named(
                    connection, [r["cpf"] for r in rows]
                )
            except CodecError:
                persons = {}
    for row in rows:
        person = persons.get(row["cpf"])
        try:
            cpf = person.open("cpf", row["cpf_sealed"]) if person and row["cpf_sealed"] else row["cpf"]
            name = person.open("name", row["name"] or "") if person else ""
        except CodecError:
            cpf = name = ""
        found.append(
            {"cpf": mask_cpf(cpf), "name": initials(name), "at": row["updated_at"], "leads": row["leads"]}
        )
    return found


def initials(name: str) -> str:
    """``Ana Maria`` as ``A••• M•••``."""
    return " ".join(f"{word[0]}•••" for word in name.split()) or "–"


def shown_settings(settings: Settings) -> list[dict[str, Any]]:
    """Every setting with its effective value; of a secret only whether it is set."""
    rows = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        secret = isinstance(value, SecretStr)
        text = "" if secret else str(value)
        is_set = bool(value.get_secret_value()) if secret else bool(text)
        changed = name in settings.model_fields_set
        rows.append(
            {"name": name.upper(), "value": text, "secret": secret, "is_set": is_set, "changed": changed,
             "description": field.description or ""}
        )  # fmt: skip
    return rows
