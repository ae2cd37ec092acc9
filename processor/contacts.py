"""Contact data as people type it: what is worth a look-up, and how it is shown.

Pure. A look-up costs money and budget, so junk that passes a form's validation (``99999-9999``,
``teste@teste.com``) is refused here. Refusing is final for that contact: when in doubt, accept.
"""

import re
from collections.abc import Iterable

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType
from stdnum.br import cpf as br_cpf

_BRAZIL = 55
_CPF_DIGITS = 11
_CPF_TEXT_DIGITS_MIN = 9  # a spreadsheet drops at most the two leading zeros that are common
_AREA_DIGITS = 2
_OLD_MOBILE = re.compile(r"(\d{2})([6-9]\d{7})", re.ASCII)
_SEPARATORS = re.compile(r"[/;,|]|\bou\b|\be\b", re.IGNORECASE)
_LONGEST_TEXT = 100
_KINDS = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
# Descending 98765-4321 is not here: it is C2S's own documented sample and seen in its trial accounts.
_JUNK_TAILS = frozenset({"01234567", "12345678", "23456789"})
_RUN_UP = "01234567890123456789"
_RUN_DOWN = _RUN_UP[::-1]

_EMAIL = re.compile(
    r"(?P<local>[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@(?P<domain>(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63})",
    re.ASCII,
)
_LONGEST_EMAIL = 254
_LONGEST_LOCAL = 64
_SHORT_TWIN = 3
_NOT_ALNUM = re.compile(r"[^a-z0-9]", re.ASCII)
# fmt: off
_JUNK_LOCALS = frozenset({
    "nao", "naotem", "naotenho", "naopossui", "naopossuo", "naoinformado", "naoinformou", "naoinforma",
    "naosei", "semmail", "sememail", "sem", "semnome", "noemail", "nomail", "noreply", "teste", "teste1",
    "teste123", "testes", "test", "test123", "testando", "asdf", "asdfg", "qwerty", "null", "none",
    "undefined",
})
# fmt: on
_JUNK_DOMAINS = frozenset({"tem", "naotem", "nao", "naopossui", "teste", "test", "sememail", "naoinformado"})


def usable_phone(text: str) -> str | None:
    """The national digits (area code first, no 55) of a Brazilian fixed or mobile phone, or None.

    Takes any spelling; of several numbers in one text, the first usable. An old mobile without the
    ninth digit gets it. None for foreign, service (0800) and impossible numbers, and for junk: one
    repeated digit or a counting sequence after the area code.
    """
    for part in _SEPARATORS.split(text[:_LONGEST_TEXT]):
        digits = _national_digits(part)
        if digits and not _is_junk_phone(digits):
            return digits
    return None


def first_usable_phone(phones: Iterable[str]) -> str | None:
    """The first usable phone, as digits, in the order given (the order of trust); or None."""
    return next((digits for text in phones if (digits := usable_phone(text))), None)


def display_phone(digits: str) -> str:
    """National digits as people write them: ``(11) 98765-4321``; anything else unchanged."""
    if len(digits) not in (10, 11):
        return digits
    return f"({digits[:2]}) {digits[2:-4]}-{digits[-4:]}"


def usable_email(text: str) -> str | None:
    """The address in lower case, or None where it is malformed or junk (``nao@tem.com``, ``x@x.com``).

    ASCII addresses only: the look-up API takes no others.
    """
    address = text.strip().lower()
    match = _EMAIL.fullmatch(address) if len(address) <= _LONGEST_EMAIL else None
    if match is None or len(match["local"]) > _LONGEST_LOCAL:
        return None
    return None if _is_junk_email(match["local"], match["domain"]) else address


def clean_cpf(value: object) -> str | None:
    """The 11 digits of a valid CPF, or None.

    Takes formatted text, and numbers (or short digit texts) that lost their leading zeros. One
    repeated digit passes the checksum but is never issued: None.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        digits = str(value).zfill(_CPF_DIGITS) if value < 10**_CPF_DIGITS else ""
    elif isinstance(value, str) and value.isascii() and len(value) <= _LONGEST_TEXT:
        digits = re.sub(r"[\s./-]", "", value)
        if len(digits) >= _CPF_TEXT_DIGITS_MIN:
            digits = digits.zfill(_CPF_DIGITS)
    else:
        return None
    valid = digits.isdigit() and len(set(digits)) > 1 and br_cpf.is_valid(digits)
    return digits if valid else None


def mask_cpf(cpf: str) -> str:
    """A CPF of 11 digits with only its middle shown: ``***.982.247-**``."""
    return f"***.{cpf[3:6]}.{cpf[6:9]}-**"


def format_cpf(cpf: str) -> str:
    """A CPF of 11 digits, whole: ``529.982.247-25``."""
    return f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"


def _national_digits(text: str) -> str | None:
    number = _parse(text)
    if number is None or number.country_code != _BRAZIL:
        return None
    old = _OLD_MOBILE.fullmatch(str(number.national_number))
    if old:
        number = PhoneNumber(country_code=_BRAZIL, national_number=int(f"{old[1]}9{old[2]}"))
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) not in _KINDS:
        return None
    return str(number.national_number)


def _parse(text: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, "BR")
    except phonenumbers.NumberParseException:
        return None


def _is_junk_phone(digits: str) -> bool:
    subscriber = digits[_AREA_DIGITS:]
    tail = digits[-8:]
    return (
        len(set(tail)) == 1
        or len(set(subscriber)) == 1
        or tail in _JUNK_TAILS
        or digits in _RUN_UP
        or digits in _RUN_DOWN
    )


def _is_junk_email(local: str, domain: str) -> bool:
    name = _NOT_ALNUM.sub("", local.partition("+")[0])
    label = domain.partition(".")[0]
    repeated = len(name) > 1 and len(set(name)) == 1
    twins = name == label and len(name) <= _SHORT_TWIN
    return name in _JUNK_LOCALS or label in _JUNK_DOMAINS or repeated or twins
