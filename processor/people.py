"""Who the contacts belong to: the outcome of the look-ups by phone and by e-mail.

Pure. Recorded as a finished step, so a retry does not spend the look-ups again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

ContactKind = Literal["phone", "email"]
PeopleKind = Literal["same", "different", "phone_only", "email_only", "none"]


@dataclass(frozen=True, slots=True)
class Found:
    """One person that a look-up returned.

    Attributes:
        cpf: 11 digits, valid.
    """

    name: str
    cpf: str


@dataclass(frozen=True, slots=True)
class Match:
    """The person that one contact led to.

    Attributes:
        contact: the phone's national digits or the e-mail address, as looked up.
        cpf: 11 digits, valid.
    """

    contact_kind: ContactKind
    contact: str
    cpf: str
    name: str


@dataclass(frozen=True, slots=True)
class People:
    """The outcome of both look-ups; a side is None where nothing was found or nothing could be asked."""

    by_phone: Match | None = None
    by_email: Match | None = None

    @property
    def kind(self) -> PeopleKind:
        if self.by_phone and self.by_email:
            return "same" if self.by_phone.cpf == self.by_email.cpf else "different"
        if self.by_phone:
            return "phone_only"
        return "email_only" if self.by_email else "none"

    @property
    def matches(self) -> tuple[Match, ...]:
        """One match per distinct person, the phone's first."""
        found = [match for match in (self.by_phone, self.by_email) if match]
        return tuple(found[:1] if self.kind == "same" else found)

    @property
    def cpfs(self) -> tuple[str, ...]:
        """The distinct CPFs, in the order of `matches`."""
        return tuple(match.cpf for match in self.matches)


def match_people(
    phone: str | None, phone_found: Sequence[Found], email: str | None, email_found: Sequence[Found]
) -> People:
    """Decide who the contacts belong to; both lists are best first.

    A person whom both contacts lead to wins over a better-ranked person whom only one leads to
    (families share phones); else the best of each list.
    """
    in_email = {found.cpf for found in email_found}
    shared = next((found.cpf for found in phone_found if found.cpf in in_email), None)
    return People(
        _best("phone", phone, phone_found, shared),
        _best("email", email, email_found, shared),
    )


def _best(kind: ContactKind, contact: str | None, found: Sequence[Found], shared: str | None) -> Match | None:
    if contact is None or not found:
        return None
    best = next((person for person in found if person.cpf == shared), found[0])
    return Match(kind, contact, best.cpf, best.name)


def to_json(people: People) -> dict[str, Any]:
    """The JSON form, for a recorded step; holds personal data."""
    form: dict[str, Any] = msgspec.to_builtins(people)
    return form


def from_json(form: object) -> People:
    """The people of a JSON form.

    Raises:
        ValueError: the form was not written by `to_json`; the look-ups must be made again.
    """
    try:
        return msgspec.convert(form, People)
    except msgspec.ValidationError as error:
        raise ValueError(f"the recorded people step does not decode: {error}") from None
