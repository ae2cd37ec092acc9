"""A person's profile: the allow-list of C2S.md §3, and the boundary that drops everything else.

Pure. What the Work API answers is large and far too personal; only what a `Profile` names gets past
`profile_from_work`. The mother's name is left out although it would be allowed: she contacted nobody,
and no message shows her. Any field of the answer may be missing, null or of another type.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from processor.contacts import clean_cpf, usable_email, usable_phone
from processor.text import clean

TEXT_CHARS_MAX = 200
ITEMS_MAX = 10
_SCANNED_MAX = 200  # of a longer list, the rest is not even looked at
_LAST = 1_000_000


@dataclass(frozen=True, slots=True)
class Phone:
    """``number`` is the national digits, area code first."""

    number: str
    whatsapp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Texts as given; any may be empty. ``street`` includes its type (``RUA …``)."""

    street: str = ""
    number: str = ""
    complement: str = ""
    district: str = ""
    city: str = ""
    state: str = ""
    postcode: str = ""


@dataclass(frozen=True, slots=True)
class Company:
    """``relation`` is the person's role in it, as given."""

    cnpj: str
    relation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What we keep of a person. Texts are on one line, at most 200 characters, empty where unknown.

    Attributes:
        cpf: 11 digits, valid.
        birth_date: as given, usually ``dd/mm/yyyy``.
        sex: as given, e.g. ``M - MASCULINO``.
        income: monthly, as given, e.g. ``1234,56``.
        purchasing_power_range: as given, e.g. ``De R$ 1630 até R$ 4082``.
        emails: best first, at most 10; so are phones, addresses and companies.
    """

    cpf: str
    name: str = ""
    birth_date: str = ""
    sex: str = ""
    occupation: str = ""
    income: str = ""
    purchasing_power: str = ""
    purchasing_power_range: str = ""
    score: str = ""
    score_band: str = ""
    emails: tuple[str, ...] = ()
    phones: tuple[Phone, ...] = ()
    addresses: tuple[Address, ...] = ()
    companies: tuple[Company, ...] = ()


def profile_from_work(answer: object, cpf: str) -> Profile | None:
    """The allow-listed part of a Work API answer; never raises, whatever the answer is.

    None where nothing usable is in it, or where it names another CPF than the one asked for.
    """
    basic = _dict(_get(answer, "DadosBasicos"))
    answered = clean_cpf(basic.get("cpf"))
    if answered is not None and answered != cpf:
        return None
    economic = _dict(_get(answer, "DadosEconomicos"))
    power = _dict(economic.get("poderAquisitivo"))
    score = _dict(economic.get("score"))
    profile = Profile(
        cpf=cpf,
        name=_text(basic.get("nome")),
        birth_date=_text(basic.get("dataNascimento")),
        sex=_text(basic.get("sexo")),
        occupation=_text(_dict(_get(answer, "profissao")).get("cboDescricao")),
        income=_text(economic.get("renda")),
        purchasing_power=_text(power.get("poderAquisitivoDescricao")),
        purchasing_power_range=_text(power.get("faixaPoderAquisitivo")),
        score=_text(score.get("scoreCSBA")),
        score_band=_text(score.get("scoreCSBAFaixaRisco")),
        emails=_emails(_get(answer, "emails")),
        phones=_phones(_get(answer, "telefones")),
        addresses=_addresses(_get(answer, "enderecos")),
        companies=_companies(_get(answer, "empresas")),
    )
    return None if profile == Profile(cpf=cpf) else profile


def to_json(profile: Profile) -> dict[str, Any]:
    """The JSON form, for a recorded step and the record; holds personal data."""
    form: dict[str, Any] = msgspec.to_builtins(profile)
    return form


def from_json(form: object) -> Profile:
    """The profile of a JSON form; fields that this version does not know are passed over.

    Raises:
        ValueError: the form was not written by `to_json`; the profile must be fetched again.
    """
    try:
        return msgspec.convert(form, Profile)
    except msgspec.ValidationError as error:
        raise ValueError(f"the recorded profile does not decode: {error}") from None


def _emails(value: object) -> tuple[str, ...]:
    items = sorted(_items(value), key=lambda item: _priority(item.get("prioridade")))
    found = (usable_email(_text(item.get("email"))) for item in items)
    return tuple(dict.fromkeys(address for address in found if address))[:ITEMS_MAX]


def _phones(value: object) -> tuple[Phone, ...]:
    by_number: dict[str, bool] = {}
    for item in _items(value):
        number = usable_phone(_text(item.get("telefone")))
        if number:
            by_number[number] = by_number.get(number, False) or _is_yes(item.get("whatsapp"))
    return tuple(Phone(number, whatsapp) for number, whatsapp in by_number.items())[:ITEMS_MAX]


def _addresses(value: object) -> tuple[Address, ...]:
    found = dict.fromkeys(_address(item) for item in _items(value))
    return tuple(address for address in found if address.street or address.city)[:ITEMS_MAX]


def _address(item: dict[str, Any]) -> Address:
    street = f"{_text(item.get('tipoLogradouro'))} {_text(item.get('logradouro'))}"
    return Address(
        street=clean(street, TEXT_CHARS_MAX),
        number=_text(item.get("logradouroNumero")),
        complement=_text(item.get("complemento")),
        district=_text(item.get("bairro")),
        city=_text(item.get("cidade")),
        state=_text(item.get("uf")),
        postcode=_text(item.get("cep")),
    )


def _companies(value: object) -> tuple[Company, ...]:
    found = (Company(_text(item.get("cnpj")), _text(item.get("relacao"))) for item in _items(value))
    return tuple(dict.fromkeys(company for company in found if company.cnpj))[:ITEMS_MAX]


def _get(answer: object, key: str) -> object:
    return _dict(answer).get(key)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> Iterator[dict[str, Any]]:
    items = value[:_SCANNED_MAX] if isinstance(value, list) else []
    return (item for item in items if isinstance(item, dict))


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    # Python refuses to print integers of more than 4,300 digits; no field of ours has that many.
    if isinstance(value, int) and value.bit_length() > TEXT_CHARS_MAX:
        return ""
    return clean(str(value), TEXT_CHARS_MAX)


def _priority(value: object) -> int:
    text = _text(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(_LAST)) else _LAST


def _is_yes(value: object) -> bool:
    return value is True or _text(value).upper() in {"SIM", "S", "1", "TRUE"}
