"""What of an event's findings goes on record, minimised: the income as a band, unless asked for exactly.

The exact amount lives only as long as it is needed to write messages: in the event's finished steps until its
end, in the cache of look-ups, and in the message itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import orjson

from processor import profile as profile_json
from processor.message import parse_money
from processor.people import People
from processor.profile import Profile

_BOUNDS = tuple(map(Decimal, (2_000, 4_000, 7_000, 10_000, 15_000, 20_000)))


def income_band(text: str) -> str:
    """The band of an income as given (``4321,09`` -> ``de R$ 4.000 a R$ 7.000``); empty where it is none."""
    amount = parse_money(text)
    if amount is None:
        return ""
    below = next((bound for bound in _BOUNDS if amount < bound), None)
    if below is None:
        return f"acima de {_reais(_BOUNDS[-1])}"
    at = _BOUNDS.index(below)
    return f"de {_reais(_BOUNDS[at - 1])} a {_reais(below)}" if at else f"até {_reais(below)}"


def enrichment_of(people: People, profiles: Mapping[str, Profile], *, exact_income: bool) -> str:
    """What was found, as clear JSON for the record.

    Args:
        people: who the contacts led to.
        profiles: by CPF.
        exact_income: ``STORE_INCOME=exact``.
    """

    def kept(profile: Profile) -> Profile:
        return profile if exact_income else replace(profile, income=income_band(profile.income))

    persons = [
        {
            "cpf": match.cpf,
            "name": match.name,
            "contact_kind": match.contact_kind,
            "contact": match.contact,
            "profile": profile_json.to_json(kept(profiles[match.cpf])) if match.cpf in profiles else None,
        }
        for match in people.matches
    ]
    return orjson.dumps({"kind": people.kind, "people": persons}).decode()


def _reais(amount: Decimal) -> str:
    return f"R$ {amount:,.0f}".replace(",", ".")
