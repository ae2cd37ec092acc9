"""A lead's attributes as C2S shows them (C2S.md §1), made from its id."""

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from ops.sandbox import people

_BRASILIA = timezone(timedelta(hours=-3))
_SELLERS = (
    ("Corretora Exemplo Um", "um"),
    ("Corretor Exemplo Dois", "dois"),
    ("Corretora Exemplo Três", "tres"),
)
_SOURCES = ((11, "Portal Exemplo"), (12, "Site"), (13, "Indicação"), (14, "Redes sociais"))
_CHANNELS = ("E-mail", "WhatsApp", "Telefone", "Formulário")
_NEIGHBOURHOODS = ("Jardim Exemplo", "Vila Modelo", "Centro", "Alto da Serra")


def attributes(lead_id: str, created_at: datetime, updated_at: datetime) -> dict[str, Any]:
    """The attributes of a lead that nobody changed, without its messages.

    Args:
        lead_id: decides everything but the times.
        created_at: an aware datetime.
        updated_at: an aware datetime.
    """
    number = people.digest(f"attributes:{lead_id}")
    source_id, source = _SOURCES[number % len(_SOURCES)]
    return {
        "internal_id": internal_id(lead_id),
        "customer": customer(people.invent(lead_id)),
        "product": product(number),
        "seller": seller(number),
        "lead_source": {"id": source_id, "name": source},
        "channel": {"name": _CHANNELS[number // 5 % len(_CHANNELS)]},
        "lead_status": {"id": 1, "alias": "new", "name": "Novo"},
        "funnel_status": {"id": 1, "alias": "first_contact", "name": "Primeiro contato"},
        "archive_details": {"archived": False, "archive_notes": None},
        "done_details": {"done": False},
        "description": "Cliente pediu mais informações sobre o imóvel.",
        "observation": None if number % 3 else "",
        "log": [
            {"created_at": spell_time(created_at, number), "action": "lead_created", "body": "Lead recebido"}
        ],
        "messages": [],
        "created_at": spell_time(created_at, number),
        "updated_at": spell_time(updated_at, number),
    }


def customer(invented: people.Invented) -> dict[str, Any]:
    """The customer as typed in: a spelled phone, and C2S's own ``phone_global`` where it could make one."""
    person = invented.phone_person
    return {
        "id": people.digest(f"customer:{invented.lead_id}") % 10_000_000,
        "name": invented.name,
        "email": invented.email,
        "phone": invented.phone,
        "phone2": "",
        "phone_global": f"+55{person.phone}" if person else "",
    }


def product(number: int) -> dict[str, Any]:
    """A piece of real estate, priced the way C2S writes prices."""
    thousands = 150 + number % 3000
    return {
        "id": number % 100_000,
        "description": "Apartamento com 2 dormitórios",
        "prop_ref": f"AP{number % 10_000:04d}",
        "price": f"{thousands * 1000:,}".replace(",", ".") + ",00",
        "price_float": float(thousands * 1000),
        "neighbourhood": _NEIGHBOURHOODS[number // 7 % len(_NEIGHBOURHOODS)],
        "city": "São Paulo",
        "real_estate_detail": {"negotiation_name": "Venda" if number % 2 else "Locação"},
    }


def seller(number: int) -> dict[str, Any]:
    """The broker who was given the lead."""
    index = number // 3 % len(_SELLERS)
    name, handle = _SELLERS[index]
    return {"id": 100 + index, "name": name, "email": f"corretor.{handle}@example.com"}


def internal_id(lead_id: str) -> int:
    """C2S's second, numeric id of a lead."""
    return people.digest(f"internal:{lead_id}") % 90_000_000 + 10_000_000


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, objects field by field, anything else whole."""
    result = dict(base)
    for name, value in changes.items():
        present = result.get(name)
        if isinstance(present, dict) and isinstance(value, dict):
            result[name] = merged(present, value)
        else:
            result[name] = deepcopy(value)
    return result


def spell_time(moment: datetime, choice: int = 0) -> str:
    """A time with milliseconds in one of C2S's spellings."""
    if choice % 3 == 0:
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    local = moment.astimezone(_BRASILIA)
    if choice % 3 == 1:
        return local.isoformat(timespec="milliseconds")
    return local.strftime("%Y-%m-%d %H:%M:%S.") + f"{local.microsecond // 1000:03d} -0300"
