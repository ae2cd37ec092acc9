"""What the data brokers know about an invented person beyond name and CPF; depends on the person alone."""

import random
from typing import Any

from ops.sandbox.people import DOMAINS, Person, digest

_PLACES = {
    "1": ("São Paulo", "SP"),
    "2": ("Rio de Janeiro", "RJ"),
    "3": ("Belo Horizonte", "MG"),
    "4": ("Curitiba", "PR"),
    "5": ("Porto Alegre", "RS"),
    "6": ("Brasília", "DF"),
    "7": ("Salvador", "BA"),
    "8": ("Recife", "PE"),
    "9": ("Belém", "PA"),
}
_STREETS = ("das Acácias", "do Exemplo", "dos Ipês", "Quinze de Outubro", "da Amostra", "das Palmeiras")
_CARRIERS = ("OPERADORA A", "OPERADORA B", "OPERADORA C", None)
_RELATIONS = ("SOCIO", "SOCIO ADMINISTRADOR", "TITULAR")
_CNPJ_WEIGHTS = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)


def rng_of(person: Person, part: str) -> random.Random:
    """Randomness that is the same for the same part of the same person."""
    return random.Random(digest(f"{part}:{person.number}"))


def phones(person: Person) -> list[dict[str, Any]]:
    """One to four phones: the mobile first, then a landline and others."""
    rng = rng_of(person, "phones")
    first = {"telefone": person.phone, "tipo": "TELEFONE MÓVEL", "operadora": rng.choice(_CARRIERS)}
    found: list[dict[str, Any]] = [first | {"whatsapp": rng.choice(("SIM", "SIM", None))}]
    for _ in range(rng.randrange(4)):
        number = f"{person.phone[:2]}3{rng.randrange(1_000_000, 10_000_000)}"
        found.append(
            {"telefone": number, "tipo": "TELEFONE RESIDENCIAL", "operadora": None, "whatsapp": None}
        )
    return found


def emails(person: Person) -> list[dict[str, Any]]:
    """One to four addresses, best first."""
    rng = rng_of(person, "emails")
    found: list[dict[str, Any]] = [{"email": person.email, "prioridade": "1", "qualidade": "OTIMO"}]
    for index in range(rng.randrange(4)):
        address = f"contato{index + 2}.{person.number}@{rng.choice(DOMAINS)}"
        quality = rng.choice(("BOM", "RUIM", None))
        found.append({"email": address, "prioridade": str(index + 2), "qualidade": quality})
    return found


def addresses(person: Person) -> list[dict[str, Any]]:
    """None to three addresses in the state that the phone's area code lies in."""
    rng = rng_of(person, "addresses")
    city, state = _PLACES.get(person.phone[0], _PLACES["1"])
    return [
        {
            "tipoLogradouro": rng.choice(("RUA", "AVENIDA", "ALAMEDA")),
            "logradouro": rng.choice(_STREETS),
            "logradouroNumero": str(rng.randrange(1, 3000)),
            "complemento": rng.choice(("", "APTO 12", "CASA 2", None)),
            "bairro": rng.choice(("Centro", "Jardim Exemplo", "Vila Modelo")),
            "cidade": city,
            "uf": state,
            "cep": f"{rng.randrange(1_000_000, 99_999_999):08d}",
        }
        for _ in range(rng.randrange(4))
    ]


def companies(person: Person) -> list[dict[str, Any]] | None:
    """None to two companies, sometimes null instead of an empty list."""
    rng = rng_of(person, "companies")
    owned = [
        {"cnpj": _cnpj(rng), "relacao": rng.choice(_RELATIONS)} for _ in range(max(0, rng.randrange(5) - 2))
    ]
    return owned or rng.choice(([], None))


def _cnpj(rng: random.Random) -> str:
    digits = f"{rng.randrange(10**8):08d}0001"
    for _ in range(2):
        weights = _CNPJ_WEIGHTS[-len(digits) :]
        rest = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11
        digits += str(0 if rest <= 1 else 11 - rest)
    return digits
