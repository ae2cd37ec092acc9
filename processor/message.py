"""The message a broker reads (C2S.md §4): Portuguese, plain text, pure.

The last line is always the event's marker, which is what makes a repeated send detectable; the text
is cut, where it must be, between two sections and above the marker.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from processor.contacts import display_phone, format_cpf, mask_cpf
from processor.people import Match, People
from processor.profile import Address, Company, Phone, Profile
from processor.text import clean
from schema.identity import marker

EMAILS_SHOWN = 3
PHONES_SHOWN = 3
ADDRESSES_SHOWN = 2
COMPANIES_SHOWN = 3

PENDING = (
    "Perfil ainda não disponível: a consulta está fora do ar. A mensagem completa segue assim que ela voltar."
)
CUT_NOTE = "(mensagem cortada)"
_VALUE_CHARS_MAX = 200
_HEADING_CHARS_MAX = 80  # keeps the first line, the note and the marker within the least MESSAGE_MAX_CHARS
_OLDEST_YEARS = 130
_CNPJ_DIGITS = 14
_POSTCODE_DIGITS = 8
_BORDER = "\n\n"

# At most 15 digits before the comma: more is no amount of money, and is shown as given.
_GROUPED = re.compile(r"\d{1,3}(?:\.\d{3}){1,4}(?:,\d{1,2})?", re.ASCII)
_COMMA = re.compile(r"\d{1,15}(?:,\d{1,2})?", re.ASCII)
_POINT = re.compile(r"\d{1,15}\.\d{1,2}", re.ASCII)

_HEADLINES = {
    "same": "Telefone e e-mail pertencem à mesma pessoa.",
    "different": "ATENÇÃO: telefone e e-mail pertencem a pessoas diferentes.",
    "none": "Nenhuma pessoa encontrada pelo telefone ou pelo e-mail deste lead.",
}


def compose(
    people: People,
    profiles: Mapping[str, Profile],
    *,
    event_id: str,
    today: date,
    max_chars: int,
    show_cpf: bool = False,
    income_multiplier: float = 1.0,
    pending: bool = False,
) -> str:
    """The whole text of a message, at most ``max_chars`` characters, ending in the event's marker.

    Args:
        people: whom the contacts led to.
        profiles: by CPF; a person without one is shown by name and CPF alone.
        event_id: the event whose marker the last line is.
        today: for the age.
        max_chars: at least 200 (as the settings demand).
        show_cpf: whole CPFs instead of masked ones.
        income_multiplier: factor on the income shown.
        pending: the profile could not be had yet: say so first.
    """
    sections = [_headline(people)]
    if pending:
        sections = [PENDING, *(sections if people.matches else [])]
    for match in people.matches:
        heading = f"Pessoa encontrada pelo {_contact(match)}\n" if people.kind == "different" else ""
        profile = profiles.get(match.cpf) or Profile(cpf=match.cpf)
        first, *rest = _sections(match, profile, today, show_cpf, Decimal(str(income_multiplier)))
        sections += [heading + first, *rest]
    return _join(sections, marker(event_id), max_chars)


def parse_money(text: str) -> Decimal | None:
    """An amount as Brazilians write it (``1234,56``, ``R$ 1.234,56``), or ``1234.56``; else None."""
    digits = text.strip().removeprefix("R$").strip()
    if _GROUPED.fullmatch(digits) or _COMMA.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", ".")
    elif not _POINT.fullmatch(digits):
        return None
    return Decimal(digits)


def format_money(amount: Decimal) -> str:
    """``R$ 1.234,56``."""
    return "R$ " + f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


def parse_date(text: str) -> date | None:
    """A day written ``dd/mm/yyyy`` or ISO-8601 (a time after it is passed over); else None."""
    for pattern, chars in (("%d/%m/%Y", 10), ("%Y-%m-%d", 10)):
        try:
            return datetime.strptime(text[:chars], pattern).date()  # noqa: DTZ007 -- a day has no zone
        except ValueError:
            continue
    return None


def _headline(people: People) -> str:
    if people.kind in _HEADLINES:
        return _HEADLINES[people.kind]
    return f"Pessoa encontrada apenas pelo {_contact(people.matches[0])}."


def _contact(match: Match) -> str:
    if match.contact_kind == "phone":
        return f"telefone {display_phone(clean(match.contact, _HEADING_CHARS_MAX))}"
    return f"e-mail {clean(match.contact, _HEADING_CHARS_MAX)}"


def _sections(match: Match, profile: Profile, today: date, show_cpf: bool, multiplier: Decimal) -> list[str]:
    cpf = format_cpf(profile.cpf) if show_cpf else mask_cpf(profile.cpf)
    personal = {
        "Nome": _value(profile.name) or _value(match.name),
        "CPF": cpf,
        "Nascimento": _birth(profile.birth_date, today),
        "Sexo": _sex(profile.sex),
        "Profissão": _value(profile.occupation),
    }
    financial = {
        "Renda": _income(profile.income, multiplier),
        "Poder aquisitivo": _with_detail(profile.purchasing_power, profile.purchasing_power_range),
        "Score": _with_detail(profile.score, profile.score_band),
    }
    titled = {
        "DADOS PESSOAIS": [f"{label}: {value}" for label, value in personal.items() if value],
        "DADOS FINANCEIROS": [f"{label}: {value}" for label, value in financial.items() if value],
        "E-MAILS": [f"- {_value(email)}" for email in profile.emails[:EMAILS_SHOWN]],
        "TELEFONES": [f"- {_phone(phone)}" for phone in profile.phones[:PHONES_SHOWN]],
        "ENDEREÇOS": [f"- {_address(address)}" for address in profile.addresses[:ADDRESSES_SHOWN]],
        "EMPRESAS": [f"- {_company(company)}" for company in profile.companies[:COMPANIES_SHOWN]],
    }
    return ["\n".join((title, *lines)) for title, lines in titled.items() if lines]


def _join(sections: list[str], last_line: str, max_chars: int) -> str:
    whole = _BORDER.join((*sections, last_line))
    if len(whole) <= max_chars:
        return whole
    tail = _BORDER.join((CUT_NOTE, last_line))
    kept: list[str] = []
    for section in sections:
        if len(_BORDER.join((*kept, section, tail))) > max_chars:
            break
        kept.append(section)
    return _BORDER.join((*kept, tail))


def _value(text: str) -> str:
    return clean(text, _VALUE_CHARS_MAX)


def _with_detail(text: str, detail: str) -> str:
    main, extra = _value(text), _value(detail)
    return f"{main} ({extra})" if main and extra else main or extra


def _birth(text: str, today: date) -> str:
    born = parse_date(_value(text))
    if born is None:
        return _value(text)
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    age = f" ({years} anos)" if 0 < years <= _OLDEST_YEARS else ""
    return f"{born:%d/%m}/{born.year:04d}{age}"


def _sex(text: str) -> str:
    return _value(text).rpartition(" - ")[2].capitalize()


def _income(text: str, multiplier: Decimal) -> str:
    amount = parse_money(_value(text))
    return _value(text) if amount is None else format_money(amount * multiplier)


def _phone(phone: Phone) -> str:
    return display_phone(_value(phone.number)) + (" (WhatsApp)" if phone.whatsapp else "")


def _address(address: Address) -> str:
    city = "/".join(part for part in (_value(address.city), _value(address.state)) if part)
    parts = (address.street, address.number, address.complement, address.district)
    postcode = _postcode(_value(address.postcode))
    return ", ".join(part for part in (*map(_value, parts), city, postcode) if part)


def _postcode(text: str) -> str:
    digits = re.sub(r"\D", "", text)
    if len(digits) != _POSTCODE_DIGITS:
        return f"CEP {text}" if text else ""
    return f"CEP {digits[:5]}-{digits[5:]}"


def _company(company: Company) -> str:
    digits = re.sub(r"[\s./-]", "", _value(company.cnpj))
    if len(digits) == _CNPJ_DIGITS:
        digits = f"{digits[:2]}.{digits[2:5]}.{digits[5:8]}/{digits[8:12]}-{digits[12:]}"
    relation = _value(company.relation)
    return f"CNPJ {digits} ({relation})" if relation else f"CNPJ {digits}"
