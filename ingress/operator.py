"""The operator API: events, dead letters and statistics as JSON, for whoever holds ADMIN_TOKEN."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import orjson
from aiohttp import web

from ingress import operator_asked as asked
from ingress.admin import Admin
from ingress.asked import event_id_of_path, unknown_event
from ingress.limits import Reading
from ingress.problems import Refusal, unavailable
from ops.audit import Actor
from ops.dead import DeadLetter
from ops.inspect import Unmigrated, read_stories, select_events
from ops.operating import Operating, Selection
from ops.postgres import translated
from ops.settings import Settings
from ops.statistics import read_statistics
from ops.telling import as_json
from schema.errors import StorageUnavailable

_DAY = timedelta(hours=24)
T = TypeVar("T")


class OperatorApi:
    """Handlers of ``/api/v1/events…``, ``/dead…``, ``/replay``, ``/discard`` and ``/stats``."""

    def __init__(self, settings: Settings, admin: Admin, reading: Reading, operating: Operating) -> None:
        self._settings = settings
        self._admin = admin
        self._reading = reading
        self._operating = operating

    async def events(self, request: web.Request) -> web.Response:
        """``GET /api/v1/events``."""
        self._admin.bearer(request)
        which = asked.events(request.query, datetime.now(UTC))
        with _reached():
            rows = await select_events(self._operating.pool, which)
        more = len(rows) == which.limit
        return _json({"events": rows, "next": asked.event_cursor(rows[-1]) if more else None})

    async def event(self, request: web.Request) -> web.Response:
        """``GET /api/v1/events/{event_id}``."""
        self._admin.bearer(request)
        event_id = event_id_of_path(request)
        with _reached():
            stories = await read_stories(self._settings, event_id)
        if not stories.stories:
            raise unknown_event()
        told = as_json(stories, self._operating.codec, message=False, payload=False)
        return _json({**told["events"][0], "notes": told["notes"]})

    async def payload(self, request: web.Request) -> web.Response:
        """``POST /api/v1/events/{event_id}/payload``: reveals, so it says why and is noted."""
        return await self._revealed(request, "payload", self._operating.payload)

    async def message(self, request: web.Request) -> web.Response:
        """``POST /api/v1/events/{event_id}/message``: likewise."""
        return await self._revealed(request, "message", self._operating.message)

    async def _revealed(
        self, request: web.Request, what: str, reveal: Callable[[Actor, str, str], Awaitable[str | None]]
    ) -> web.Response:
        actor = self._admin.bearer(request)
        event_id = event_id_of_path(request)
        order = await _order(self._reading, request, asked.Reason)
        with _reached():
            clear = await reveal(actor, event_id, order.reason)
        if clear is None:
            raise unknown_event()
        return _json({"event_id": event_id, what: clear})

    async def dead(self, request: web.Request) -> web.Response:
        """``GET /api/v1/dead``."""
        self._admin.bearer(request)
        which, after, limit = asked.letters(request.query, datetime.now(UTC))
        letters: list[DeadLetter] = []
        with _reached():
            async for letter in self._operating.dead.found(which, after):
                letters.append(letter)
                if len(letters) == limit:
                    break
        more = asked.letter_cursor(letters[-1]) if len(letters) == limit else None
        return _json({"letters": [_letter(x) for x in letters], "next": more})

    async def replay(self, request: web.Request) -> web.Response:
        """``POST /api/v1/replay``: with ``preview`` it only says what it would take."""
        return await self._act(request, "replayed")

    async def discard(self, request: web.Request) -> web.Response:
        """``POST /api/v1/discard``: likewise."""
        return await self._act(request, "discarded")

    async def stats(self, request: web.Request) -> web.Response:
        """``GET /api/v1/stats``."""
        self._admin.bearer(request)
        now = datetime.now(UTC)
        since = asked.since(request.query, now) or now - _DAY
        with _reached(), translated("reading statistics"):
            found = await read_statistics(self._operating.pool, since)
        return _json(found)

    async def _act(self, request: web.Request, what: str) -> web.Response:
        actor = self._admin.bearer(request)
        order = await _order(self._reading, request, asked.LettersOrder)
        selection = asked.selection(order, datetime.now(UTC))
        with _reached():
            cost = await self._operating.cost(selection)
            done = 0 if order.preview else await self._carry_out(actor, what, selection, order.reason)
        return _json({"done": done, **asdict(cost)})

    async def _carry_out(self, actor: Actor, what: str, selection: Selection, reason: str) -> int:
        act = self._operating.replay if what == "replayed" else self._operating.discard
        return await act(actor, selection, reason)


async def _order(reading: Reading, request: web.Request, kind: type[T]) -> T:
    raw = await reading.body(request)
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        _refuse_body()


class _reached:  # noqa: N801 -- read as a word in a with statement
    """Turns what time may mend into 503."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, StorageUnavailable):
            raise unavailable(
                "Redis or Postgres cannot be reached at present.", "operator.unavailable"
            ) from error
        if isinstance(error, Unmigrated | asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
            raise unavailable("The database has not been migrated.", "operator.unavailable") from error


def _refuse_body() -> NoReturn:
    detail = "The body must be a JSON object with exactly the documented fields."
    raise Refusal(422, "body_invalid", detail, event="operator.refused")


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "event_id": letter.event.event_id,
        "lead_id": letter.event.lead_id,
        "action": letter.event.action,
        "at": letter.at,
        "attempts": letter.attempts,
        "step": letter.step,
        "code": letter.code,
        "api": letter.api,
        "error": letter.error,
    }


def _json(content: Any) -> web.Response:
    body = orjson.dumps(content, default=_plain)
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _plain(value: Any) -> float | str:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):  # the driver's own kind of it
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
