"""The pipeline: lead -> people -> profiles -> message -> send -> done.

What steps cost outside is not paid for twice: a retry resumes after them. Answers are kept for the fleet as
soon as they are there (`processor.cache`), so after a crash they are found; the steps are recorded (sealed)
together with the send intent, or when the attempt fails or is handed back. Where answers are kept for less
than an hour, or not at all, each step is recorded before the next begins.

The lead is fetched only if the webhook did not carry the customer: C2S calls are the scarcest thing we have.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

import msgspec
import orjson
import structlog

from ops.fingerprint import Fingerprints
from ops.settings import Settings
from processor import people as people_json
from processor import profile as profile_json
from processor.cache import KEPT_LONG_S, PeopleSource, ProfileSource
from processor.contacts import first_usable_phone, usable_email
from processor.findings import enrichment_of
from processor.followup import follow_up
from processor.history import Past
from processor.message import compose
from processor.notify import Notify, closed, no_notice
from processor.people import Found, People, match_people
from processor.profile import Profile
from processor.send import Sender
from processor.store import LeadStore
from processor.work import Work
from schema.budget import FOLLOW_UP
from schema.calls import BURSTS, Appending
from schema.codec import PayloadCodec
from schema.errors import CircuitOpen, LeaseLost, StorageUnavailable
from schema.identity import CLOSE, UPDATE, is_forced
from schema.lead import Customer, lead_of

log = structlog.get_logger()

WITHOUT = "without"
_SAME_WHATEVER = "same"  # no fingerprint looks like this

Append = Callable[[Appending], Awaitable[object]]


class CustomerSource(Protocol):
    async def customer(self, lead_id: str, event_id: str, *, again: bool) -> Customer: ...


class Record(Protocol):
    async def of(self, work: Work) -> Past: ...


@dataclass(frozen=True, slots=True)
class Result:
    """How an event ended well.

    Attributes:
        name: as in `schema.events.LeadProcessed`, or ``already_final``.
        message: the clear text sent or prepared.
        enrichment: what was found, as clear JSON.
        contact: fingerprint of the contact that was looked at, or empty.
        superseded_by: event id of the newer update, where ``superseded``.
    """

    name: str
    message_ref: str = ""
    message: str = ""
    enrichment: str = ""
    contact: str = ""
    superseded_by: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The steps over their ports."""

    leads: CustomerSource
    diretrix: PeopleSource
    work_api: ProfileSource
    sender: Sender
    store: LeadStore
    record: Record
    codec: PayloadCodec
    settings: Settings
    fingerprints: Fingerprints
    append: Append
    notify: Notify = no_notice
    today: Callable[[], date] = date.today

    async def run(self, work: Work) -> Result:
        """Bring one event to its end, or raise what stops it (see `schema.errors`)."""
        with work.doing("record"):
            past = await self._past(work)
        early = await self._without_a_look(work, past)
        if early is not None:
            return early
        known = self._known_contact(work, past)
        if known == _SAME_WHATEVER:
            return Result("unchanged")
        with work.doing("lead"):
            customer = await self._customer(work)
        contact = self._contact(customer)
        if known == contact:
            return Result("unchanged", contact=contact)
        try:
            answer = await self._answer(work, customer)
        except LeaseLost:
            raise
        except Exception:
            await self._save(work)
            raise
        return replace(answer, contact=contact)

    async def _without_a_look(self, work: Work, past: Past | None) -> Result | None:
        """The end of an event that needs no look at its lead; None for the others."""
        if past is not None and past.final:
            return Result("already_final")
        if work.superseded_by:
            return Result("superseded", superseded_by=work.superseded_by)
        if past is not None and past.messaged and _asked_again(work):
            return Result("unchanged")
        if work.event.action == CLOSE:
            await self.notify(closed(work.event.lead_id))
            return Result("recorded")
        return None

    async def _answer(self, work: Work, customer: Customer) -> Result:
        """Find out who it is, and say so."""
        people: People | None = None
        profiles: dict[str, Profile] = {}
        without = WITHOUT in work.steps
        try:
            with work.doing("people"):
                people = await self._people(work, customer)
            with work.doing("profiles"):
                profiles = await self._profiles(work, people)
        except CircuitOpen as error:
            if not without and not self._may_go_without(work, error):
                raise
            without = True
            await self._note(work, WITHOUT, {})
        exact = self.settings.store_income == "exact"
        found = enrichment_of(people, profiles, exact_income=exact) if people and not without else ""
        nobody = people is not None and people.kind == "none" and not without
        if nobody and not self.settings.note_on_no_match:
            return Result("no_match", enrichment=found)
        with work.doing("message"):
            text = self._message(work, people or People(), profiles, pending=without)
        if self.settings.dry_run:
            return Result("dry_run", message=text, enrichment=found)
        if without:
            with work.doing("follow_up"):
                await self.append(follow_up(work, customer, self.codec))
        with work.doing("send"):
            ref = await self.sender.send_once(work, text)
        name = "sent_without" if without else "no_match" if nobody else "sent"
        return Result(name, message_ref=ref, message=text, enrichment=found)

    def _may_go_without(self, work: Work, error: CircuitOpen) -> bool:
        # A follow-up is what completes such a lead, so it waits.
        wanted = self.settings.on_enrichment_down == "send_without"
        return wanted and error.api != "c2s" and work.event.source != FOLLOW_UP

    def _contact(self, customer: Customer) -> str:
        phone, email = first_usable_phone(customer.phones), usable_email(customer.email)
        return self.fingerprints.of(phone or "", email or "")

    def _known_contact(self, work: Work, past: Past | None) -> str:
        """The contact with which an update needs no answer; empty for events that are answered anyway.

        Our own message updates the lead, and its echo must never be answered: so an update is answered only
        where we know that the contact is another, or that the lead was never messaged.

        Raises:
            StorageUnavailable: neither Redis nor Postgres can tell; the update waits.
        """
        if work.event.action != UPDATE or work.event.source not in BURSTS:
            return ""
        for known in (work.contact, past.contact if past else ""):
            if self.fingerprints.knows(known):
                return known
        if past is None:
            raise StorageUnavailable("the lead's record cannot be read; its update waits")
        return _SAME_WHATEVER if past.messaged else ""

    async def _past(self, work: Work) -> Past | None:
        try:
            past = await self.record.of(work)
        except StorageUnavailable as error:
            log.warning("record.unavailable", **work.names(), error=str(error))
            work.verify = True
            return None
        work.verify = work.verify or past.attempted
        return past

    async def _customer(self, work: Work) -> Customer:
        known = self._recall(work, "lead")
        if known is not None:
            return msgspec.convert(known, Customer)
        event = work.event
        payload = self.codec.open(event.event_id, "payload", event.payload)
        # Empty: replayed after its retention was over, so the lead itself must tell.
        carried = lead_of(event.lead_id, orjson.loads(payload)).customer if payload else None
        if carried is not None:
            return carried
        customer = await self.leads.customer(event.lead_id, event.event_id, again=work.attempt > 1)
        await self._note(work, "lead", msgspec.to_builtins(customer), kept=True)
        return customer

    async def _people(self, work: Work, customer: Customer) -> People:
        known = self._recall(work, "people")
        if known is not None:
            return people_json.from_json(known)
        phone, email = first_usable_phone(customer.phones), usable_email(customer.email)
        by_phone, by_email = await _side_by_side(
            self.diretrix.by_phone(phone) if phone else _nothing(),
            self.diretrix.by_email(email) if email else _nothing(),
        )
        people = match_people(phone, by_phone, email, by_email)
        await self._note(work, "people", people_json.to_json(people), kept=True)
        return people

    async def _profiles(self, work: Work, people: People) -> dict[str, Profile]:
        known = self._recall(work, "profiles")
        if known is not None:
            return {cpf: profile_json.from_json(form) for cpf, form in known.items()}
        profiles: dict[str, Profile] = {}
        for cpf in people.cpfs:
            profile = await self.work_api.profile(cpf)
            if profile is not None:
                profiles[cpf] = profile
        if people.cpfs:
            found = {c: profile_json.to_json(p) for c, p in profiles.items()}
            await self._note(work, "profiles", found, kept=True)
        return profiles

    def _message(self, work: Work, people: People, profiles: dict[str, Profile], *, pending: bool) -> str:
        s = self.settings
        return compose(
            people,
            profiles,
            event_id=work.event.event_id,
            today=self.today(),
            max_chars=s.message_max_chars,
            show_cpf=s.message_show_cpf,
            income_multiplier=s.income_multiplier,
            pending=pending,
        )

    def _recall(self, work: Work, step: str) -> Any:
        stored = work.steps.get(step)
        return orjson.loads(self.codec.open(work.event.event_id, step, stored)) if stored else None

    async def _note(self, work: Work, step: str, form: object, *, kept: bool = False) -> None:
        """Record a step: at once, or (``kept``: its look-ups are) with what is recorded next."""
        sealed = self.codec.seal(work.event.event_id, step, orjson.dumps(form).decode())
        work.steps[step] = work.unrecorded[step] = sealed
        if not kept or self.settings.profile_cache_secs < KEPT_LONG_S:
            await self.store.save(work)

    async def _save(self, work: Work) -> None:
        """Record what is not yet: the attempt fails, and the next may come when nothing is kept any more."""
        with suppress(LeaseLost, StorageUnavailable):  # as the end of the attempt will find out
            await self.store.save(work)


def _asked_again(work: Work) -> bool:
    """Whether Make.com asks again, not on purpose, for what a messaged lead has already."""
    return work.event.source == "trigger" and not is_forced(work.event.version)


async def _nothing() -> list[Found]:
    return []


async def _side_by_side(first: Any, second: Any) -> Sequence[list[Found]]:
    """Both look-ups to their end, even where one fails: a cancelled call would be paid for nothing."""
    results = await asyncio.gather(first, second, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
