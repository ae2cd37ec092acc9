"""Everything a running sandbox remembers, and how leads and people change."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.sandbox import leads, people
from ops.sandbox.config import SandboxConfig
from ops.sandbox.faults import FaultBook
from ops.sandbox.limits import SlidingWindow, parse_rate
from schema import times

CALLS = (
    "c2s.get_lead",
    "c2s.list_leads",
    "c2s.create_message",
    "c2s.company",
    "c2s.subscribe",
    "c2s.unsubscribe",
    "diretrix.phone",
    "diretrix.email",
    "diretrix.cpf",
    "work.cpf",
)
NATIONAL_DIGITS = (10, 11)
APIS = ("c2s", "diretrix", "work")
_MET_AGE = timedelta(hours=1)


def utc_now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Lead:
    """A lead that C2S knows; what nobody changed is invented from its id."""

    id: str
    created_at: datetime
    updated_at: datetime
    changes: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, str]] = field(default_factory=list)

    def attributes(self) -> dict[str, Any]:
        """The attributes as C2S shows them, with messages both in ``messages`` and in ``log``."""
        shown = leads.merged(leads.attributes(self.id, self.created_at, self.updated_at), self.changes)
        for message in self.messages:
            at, body = message["at"], message["body"]
            shown["messages"].append({"created_at": at, "message": body, "sender": "integration"})
            shown["log"].append({"created_at": at, "action": "message_created", "body": body})
        return shown


@dataclass(slots=True)
class Subscription:
    """The one endpoint of the token, and the actions it gets."""

    hook_url: str
    secret: str
    actions: list[str]


class State:
    """The memory of one sandbox; lives on one event loop, so nothing here locks."""

    def __init__(
        self, config: SandboxConfig, *, now: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        self.config = config
        self.now = now
        self.monotonic = monotonic
        self.closing = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget everything, faults and the spent budget included."""
        self.rng = random.Random(self.config.seed)
        self.faults = FaultBook(self.rng)
        self.budget = SlidingWindow(parse_rate(self.config.c2s_rate_limit))
        self.leads: dict[str, Lead] = {}
        self.calls: Counter[str] = Counter(dict.fromkeys(CALLS, 0))
        self.throttled: Counter[str] = Counter(dict.fromkeys(APIS, 0))
        self.webhooks_sent = 0
        self.subscription: Subscription | None = None
        self.ids_made = 0
        self.by_contact: dict[str, people.Person | None] = {}
        self.by_cpf: dict[str, people.Person] = {}

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of the sandbox."""
        if seconds > 0:
            with suppress(TimeoutError):  # the time being up is how a pause ends
                await asyncio.wait_for(self.closing.wait(), seconds)

    def lead(self, lead_id: str) -> Lead:
        """The lead that a call names. One that nobody made has been there for a while.

        So whoever sent a webhook about it (`c2s send`) sent it after the lead's last change, as C2S does.
        """
        return self._lead(lead_id, self.now() - _MET_AGE)

    def create_lead(self, lead_id: str, changes: Mapping[str, Any]) -> Lead:
        """Make a lead (or take one seen before) with these attributes in place of the invented ones.

        Raises:
            ValueError: ``created_at`` or ``updated_at`` is not a time.
        """
        lead = self._lead(lead_id, self.now())
        self._change(lead, changes)
        return lead

    def update_lead(self, lead_id: str, changes: Mapping[str, Any]) -> Lead:
        """Change a lead's attributes; its ``updated_at`` always grows.

        Raises:
            ValueError: ``created_at`` or ``updated_at`` is not a time.
        """
        lead = self._lead(lead_id, self.now())
        lead.updated_at = max(self.now(), lead.updated_at + timedelta(milliseconds=1))
        self._change(lead, changes)
        return lead

    def new_lead_id(self, prefix: str) -> str:
        """An id that no earlier sandbox gave away either: times tell their ids apart."""
        self.ids_made += 1
        return f"{prefix}{int(self.now().timestamp() * 1000):x}-{self.ids_made}"

    def person_by_contact(self, contact: str, invented: people.Person | None) -> people.Person | None:
        """Whom a phone or e-mail leads to: the person of a lead made with it, else ``invented``."""
        return self.by_contact.get(contact, invented)

    def snapshot(self) -> dict[str, Any]:
        """What ``GET /_sandbox/state`` shows."""
        subscribed = self.subscription
        return {
            "messages": {lead.id: lead.messages for lead in self.leads.values() if lead.messages},
            "calls": dict(self.calls),
            "throttled": dict(self.throttled),
            "webhooks_sent": self.webhooks_sent,
            "subscription": (
                {"hook_url": subscribed.hook_url, "actions": subscribed.actions} if subscribed else None
            ),
        }

    def _lead(self, lead_id: str, created_at: datetime) -> Lead:
        return self.leads.setdefault(lead_id, Lead(lead_id, created_at, created_at))

    def _change(self, lead: Lead, changes: Mapping[str, Any]) -> None:
        given = dict(changes)
        moments = {
            name: times.parse(given.pop(name)) for name in ("created_at", "updated_at") if name in given
        }
        lead.created_at = moments.get("created_at", lead.created_at)
        lead.updated_at = moments.get("updated_at", max(lead.updated_at, lead.created_at))
        lead.changes = leads.merged(lead.changes, given)
        if isinstance(given.get("customer"), dict):
            _globalise(lead.changes["customer"], given["customer"])
            self._remember_people(lead)

    def _remember_people(self, lead: Lead) -> None:
        """Make contacts that a test typed in lead to the lead's person, as invented ones do by themselves."""
        customer = lead.attributes()["customer"]
        invented = people.invent(lead.id)
        phone, email = phone_key(customer.get("phone")), email_key(customer.get("email"))
        own = invented.phone_person or invented.email_person
        if own is None:
            self.by_contact |= {contact: None for contact in (phone, email) if contact}
            return
        other = invented.email_person if invented.kind is people.Kind.TWINS else None
        name = customer.get("name") or own.name
        known = [self.by_contact.get(contact) for contact in (phone, email)]
        shared = None if other else next((person for person in known if person), None)
        person = shared or replace(own, name=name, phone=phone or own.phone, email=email or own.email)
        if other:
            other = replace(other, email=email or other.email)
            person = replace(person, email=own.email)
        self._remember(phone, person)
        self._remember(email, other or person)

    def _remember(self, contact: str, person: people.Person) -> None:
        if contact:
            self.by_contact.setdefault(contact, person)
            self.by_cpf.setdefault(person.cpf, person)


def _globalise(customer: dict[str, Any], given: Mapping[str, Any]) -> None:
    """C2S derives ``phone_global`` from the phone typed in."""
    if "phone" in given and "phone_global" not in given:
        digits = phone_key(given["phone"])
        customer["phone_global"] = f"+55{digits}" if len(digits) in NATIONAL_DIGITS else ""


def phone_key(phone: Any) -> str:
    """A phone as Diretrix is asked for it: digits without the 55; empty if there is none."""
    digits = "".join(digit for digit in str(phone or "") if digit.isdecimal())
    return digits[2:] if len(digits) > max(NATIONAL_DIGITS) and digits.startswith("55") else digits


def email_key(email: Any) -> str:
    """An e-mail address as Diretrix compares it."""
    return str(email or "").strip().lower()
