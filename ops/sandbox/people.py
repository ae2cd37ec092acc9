"""Invented people: the same lead id always has the same person behind it.

A person *is* a number. Phone, e-mail and CPF are each made from the number in a way that can be undone
(a multiplication modulo the number of people, or the number written out), so a look-up by any of the
three leads to the same person in any process, without a shared index and in any order.

The start of a lead id chooses a special case (`Kind`); every other id is an ordinary person whose phone
and e-mail match. Nobody here exists: CPFs are synthetic with valid check digits, e-mails lie in the
domains reserved for documentation.
"""

import hashlib
import random
import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from itertools import count

from stdnum.br import cpf as cpf_rules


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HOME_DDDS = _words("11 12 13 19 21 24 27 31 32 41 43 47 48 51 54 61 62 67 71 81 84 85 91 98")
DOMAINS = ("example.com", "example.org", "example.net")

NOBODY_DOMAIN = "nomatch.example.com"
NOBODY_MOBILE = "950"  # mobiles that begin so belong to nobody; people's begin with 96 to 99

_PER_LEADING_DIGIT = 10_000_000
_LEADING_DIGITS = 4
_PER_DDD = _LEADING_DIGITS * _PER_LEADING_DIGIT
PEOPLE = len(HOME_DDDS) * _PER_DDD
_CPF_BASES = 1_000_000_000
_PHONE_FACTOR = 611_953_021  # coprime to PEOPLE
_CPF_FACTOR = 387_420_489  # 3**18, coprime to _CPF_BASES
_DIGITS36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_LONGEST_RUN = 4
_MOBILE_DIGITS = 11
_DDD = re.compile(r"[14689][1-9]|2[12478]|3[1-578]|5[1345]|7[134579]", re.ASCII)
_NATIONAL = re.compile(r"[0-9]{10,11}", re.ASCII)

_WOMEN = _words(
    "Ana Beatriz Camila Daniela Eduarda Fernanda Gabriela Helena Isabela Juliana Larissa Mariana Natália "
    "Patrícia Renata Sofia Tatiana Vanessa Yasmin"
)
_MEN = _words(
    "André Bruno Caio Diego Eduardo Felipe Gustavo Henrique Igor João Leonardo Marcelo Otávio Paulo Rafael "
    "Sérgio Thiago Vinícius Wagner"
)
_FAMILIES = _words(
    "Albuquerque Barbosa Cardoso Duarte Esteves Figueiredo Gonçalves Henriques Junqueira Lacerda Macedo "
    "Nogueira Oliveira Pacheco Queiroz Ribeiro Siqueira Tavares Vasconcelos Xavier"
)
_ASCII = str.maketrans("áàâãéêíóôõúçÁÉÍÓÚÇ", "aaaaeeioooucAEIOUC")
_JUNK_PHONES = ("99999999999", "(11) 11111-1111", "000000000", "(00) 98765-4321", "999999999")
_JUNK_EMAILS = ("", "naotem", "sem@email", "@", "x@x")


class Kind(StrEnum):
    """The special cases, each chosen by the start of the lead id (``twins-7``)."""

    ORDINARY = "ordinary"
    TWINS = "twins"  # phone and e-mail lead to two different people
    NOMATCH = "nomatch"  # good-looking contacts that lead to nobody
    JUNK = "junk"  # contacts not worth a look-up
    PHONEONLY = "phoneonly"
    EMAILONLY = "emailonly"


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person.

    Attributes:
        number: what everything else is made from, 0 to ``PEOPLE`` - 1.
        cpf: eleven digits with valid check digits.
        phone: DDD and number, digits without the 55.
        sex: ``F`` or ``M``.
    """

    number: int
    name: str
    mother: str
    sex: str
    born: date
    cpf: str
    phone: str
    email: str


@dataclass(frozen=True, slots=True)
class Invented:
    """What a lead's customer typed in, and who is really behind it.

    Attributes:
        phone: as the customer spelled it; empty or junk in the special cases.
        phone_person: whom Diretrix finds by the phone, or None.
        email_person: whom Diretrix finds by the e-mail, or None.
    """

    lead_id: str
    kind: Kind
    name: str
    phone: str
    email: str
    phone_person: Person | None
    email_person: Person | None


def kind_of(lead_id: str) -> Kind:
    """The special case that the start of a lead id chooses."""
    head, dash, _ = lead_id.partition("-")
    return Kind(head) if dash and head in Kind.__members__.values() else Kind.ORDINARY


def sample_lead_id(number: int, run: str) -> str:
    """The ``number``-th lead id of a run of sample traffic: three in ten are special cases.

    Args:
        number: counts the leads of the run.
        run: what tells this run's ids from another's, e.g. its start time.
    """
    special = {
        0: Kind.TWINS,
        1: Kind.NOMATCH,
        2: Kind.JUNK,
        3: Kind.PHONEONLY,
        4: Kind.EMAILONLY,
        5: Kind.TWINS,
    }
    kind = special.get(digest(f"sample:{run}:{number}") % 20, Kind.ORDINARY)
    return f"{'lead' if kind is Kind.ORDINARY else kind.value}-{run}-{number:05d}"


def digest(text: str) -> int:
    """A large number that depends on the text alone (``hash`` differs from process to process)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


def invent(lead_id: str) -> Invented:
    """The customer of a lead: depends on the id alone."""
    kind = kind_of(lead_id)
    person = person_of_text(f"lead:{lead_id}")
    phone, email = spell(person.phone, digest(lead_id)), person.email
    by_phone: Person | None = person
    by_email: Person | None = person
    if kind is Kind.TWINS:
        by_email = person_of_text(f"twin:{lead_id}")
        email = by_email.email
    elif kind in (Kind.NOMATCH, Kind.JUNK):
        by_phone = by_email = None
        phone, email = _strangers_contacts(kind, person)
    elif kind is Kind.PHONEONLY:
        by_email, email = None, ""
    elif kind is Kind.EMAILONLY:
        by_phone, phone = None, ""
    return Invented(lead_id, kind, person.name, phone, email, by_phone, by_email)


def by_phone(digits: str) -> Person | None:
    """Whom a phone belongs to: digits without the 55; None if junk, invalid or nobody's."""
    if not _NATIONAL.fullmatch(digits) or not _DDD.fullmatch(digits[:2]):
        return None
    if len(set(digits[2:])) == 1 or digits[2:].startswith(NOBODY_MOBILE):
        return None
    leading = int(digits[3]) - (10 - _LEADING_DIGITS)
    if len(digits) == _MOBILE_DIGITS and digits[2] == "9" and digits[:2] in HOME_DDDS and leading >= 0:
        code = (HOME_DDDS.index(digits[:2]) * _LEADING_DIGITS + leading) * _PER_LEADING_DIGIT + int(
            digits[4:]
        )
        return person_of(code * pow(_PHONE_FACTOR, -1, PEOPLE) % PEOPLE)
    return replace(person_of_text(f"phone:{digits}"), phone=digits)


def by_email(address: str) -> Person | None:
    """Whom an e-mail address belongs to; None if it is none or nobody's."""
    email = address.strip().lower()
    local, at, domain = email.rpartition("@")
    if not (local and at) or "." not in domain or domain == NOBODY_DOMAIN:
        return None
    code = local.rpartition(".")[2]
    if code.isascii() and code.isalnum() and int(code, 36) < PEOPLE:
        person = person_of(int(code, 36))
        if person.email == email:
            return person
    return replace(person_of_text(f"email:{email}"), email=email)


def by_cpf(digits: str) -> Person | None:
    """Whom a CPF belongs to: any valid one is somebody's; None if it is not valid."""
    if not digits.isdigit() or not cpf_rules.is_valid(digits) or len(set(digits)) == 1:
        return None
    number = int(digits[:9]) * pow(_CPF_FACTOR, -1, _CPF_BASES) % _CPF_BASES
    return replace(person_of(number % PEOPLE), cpf=digits)


def person_of_text(text: str) -> Person:
    """The person whom any text stands for: never one whose contacts look like junk."""
    for salt in count():
        person = person_of(digest(f"{text}#{salt}") % PEOPLE)
        if not _has_run(person.phone) and not _has_run(person.cpf):
            return person
    raise AssertionError  # count() does not end


def person_of(number: int) -> Person:
    """The person with this number (0 to ``PEOPLE`` - 1)."""
    rng = random.Random(digest(f"person:{number}"))
    sex = rng.choice("FM")
    given = rng.choice(_WOMEN if sex == "F" else _MEN)
    middle, family = rng.sample(_FAMILIES, 2)
    handle = f"{given}.{family}".translate(_ASCII).lower()
    return Person(
        number=number,
        name=f"{given} {middle} {family}",
        mother=f"{rng.choice(_WOMEN)} {middle}",
        sex=sex,
        born=date(1950, 1, 1) + timedelta(days=rng.randrange(20_000)),
        cpf=_cpf_of(number),
        phone=_phone_of(number),
        email=f"{handle}.{_base36(number)}@{DOMAINS[number % len(DOMAINS)]}",
    )


def spell(phone: str, choice: int) -> str:
    """A phone in one of the spellings that customers use (C2S.md §1)."""
    ddd, head, tail = phone[:2], phone[2:-4], phone[-4:]
    spellings = (
        f"({ddd}) {head}-{tail}",
        f"55{phone}",
        f"+55 {ddd} {head}-{tail}",
        phone,
        f"{ddd} {head} {tail}",
    )
    return spellings[choice % len(spellings)]


def _strangers_contacts(kind: Kind, person: Person) -> tuple[str, str]:
    if kind is Kind.JUNK:
        choice = person.number
        return _JUNK_PHONES[choice % len(_JUNK_PHONES)], _JUNK_EMAILS[choice // 7 % len(_JUNK_EMAILS)]
    phone = person.phone[:2] + NOBODY_MOBILE + person.phone[5:]
    return spell(phone, person.number), f"{person.email.partition('@')[0]}@{NOBODY_DOMAIN}"


def _phone_of(number: int) -> str:
    rest, digits = divmod(number * _PHONE_FACTOR % PEOPLE, _PER_LEADING_DIGIT)
    ddd, leading = divmod(rest, _LEADING_DIGITS)
    return f"{HOME_DDDS[ddd]}9{leading + 10 - _LEADING_DIGITS}{digits:07d}"


def _cpf_of(number: int) -> str:
    digits = f"{number * _CPF_FACTOR % _CPF_BASES:09d}"
    for _ in range(2):
        weighted = sum(int(digit) * weight for digit, weight in zip(reversed(digits), count(2), strict=False))
        digits += str(weighted * 10 % 11 % 10)
    return digits


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS36[digit] + text
    return text or "0"


def _has_run(digits: str) -> bool:
    return any(digit * (_LONGEST_RUN + 1) in digits for digit in "0123456789")
