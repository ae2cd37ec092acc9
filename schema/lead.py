"""A lead and its customer, read from any of the shapes that carry them (C2S.md §1).

Pure and forgiving: every field may be missing, null or of another type than documented.
"""

from dataclasses import dataclass
from typing import Any

from schema.webhook import lead_object

_PHONE_KEYS = ("phone_global", "phone", "phone2")


@dataclass(frozen=True, slots=True)
class Customer:
    """Who asked: the contact data as typed, unchecked.

    Attributes:
        phones: in order of trust, without empty ones or exact repeats.
    """

    name: str = ""
    email: str = ""
    phones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lead:
    """What the pipeline needs of a lead.

    Attributes:
        customer: None where the source carried none (the seed's three-field webhook).
        messages: bodies of the messages and log lines on the lead, for the marker search.
    """

    lead_id: str
    customer: Customer | None
    messages: tuple[str, ...] = ()


def lead_of(lead_id: str, body: Any) -> Lead:
    """The lead in a webhook body or in the answer of ``GET /integration/leads/{id}``."""
    if not isinstance(body, dict):
        return Lead(lead_id, None)
    lead = lead_object(body)
    attributes = lead.get("attributes")
    holder = attributes if isinstance(attributes, dict) else lead
    return Lead(lead_id, _customer(holder.get("customer")), _messages(holder))


def _customer(value: Any) -> Customer | None:
    if not isinstance(value, dict):
        return None
    phones = dict.fromkeys(text for key in _PHONE_KEYS if (text := _text(value.get(key))))
    customer = Customer(_text(value.get("name")), _text(value.get("email")), tuple(phones))
    # A customer block without any contact is no better than none: the lead must be fetched.
    return customer if customer.email or customer.phones else None


def _messages(holder: dict[str, Any]) -> tuple[str, ...]:
    found: list[str] = []
    for key in ("messages", "log"):
        items = holder.get(key)
        if not isinstance(items, list):
            continue
        for item in items:
            if isinstance(item, str):
                found.append(item)
            elif isinstance(item, dict):
                found.extend(
                    text for k in ("message", "body", "text", "description") if (text := _text(item.get(k)))
                )
    return tuple(found)


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""
