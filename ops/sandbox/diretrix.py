"""Diretrix: from phone or e-mail to CPF (C2S.md §2).

C2S.md gives the paths and the ``nome``/``cpf`` of a found person; the fields inside ``telefones``,
``emails`` and ``enderecos`` of the call by CPF are ours.
"""

import base64
import hmac

from aiohttp import web

from ops.sandbox import people
from ops.sandbox.api import Answer, Api, Route
from ops.sandbox.config import SandboxConfig
from ops.sandbox.people import Person
from ops.sandbox.profiles import addresses, emails, phones
from ops.sandbox.state import State, email_key

_SHARED_EVERY = 8  # one phone in so many is also on record for somebody else, further down


async def by_phone(request: web.Request, state: State) -> Answer:
    """Who is on record for a phone, best first."""
    digits = request.match_info["phone"]
    person = state.person_by_contact(digits, people.by_phone(digits))
    found = [person] if person else []
    if person and person.number % _SHARED_EVERY == 0:
        found.append(people.person_of((person.number + 1) % people.PEOPLE))
    return Answer(200, [_candidate(one) for one in found])


async def by_email(request: web.Request, state: State) -> Answer:
    """Who is on record for an e-mail address."""
    address = email_key(request.match_info["email"])
    person = state.person_by_contact(address, people.by_email(address))
    return Answer(200, [_candidate(person)] if person else [])


async def by_cpf(request: web.Request, state: State) -> Answer:
    """One person with phones, e-mails and addresses."""
    cpf = request.match_info["cpf"]
    person = state.by_cpf.get(cpf) or people.by_cpf(cpf)
    if person is None:
        return Answer(404, {"erro": "CPF não encontrado"})
    return Answer(
        200,
        {
            "nome": person.name,
            "cpf": person.cpf,
            "nomeMae": person.mother,
            "sexo": person.sex,
            "dataNascimento": person.born.strftime("%d/%m/%Y"),
            "telefones": phones(person),
            "emails": emails(person),
            "enderecos": addresses(person),
        },
    )


def authorized(request: web.Request, config: SandboxConfig) -> bool:
    """Whether the request carries the right Basic credentials."""
    pair = f"{config.diretrix_user}:{config.diretrix_pass}".encode()
    expected = b"Basic " + base64.b64encode(pair)
    given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
    return hmac.compare_digest(given, expected)


def _candidate(person: Person) -> dict[str, str]:
    return {"nome": person.name, "cpf": person.cpf}


API = Api(
    name="diretrix",
    routes=(
        Route("GET", "/Consultas/Pessoa/Telefone/{phone}", "diretrix.phone", by_phone),
        Route("GET", "/Consultas/Pessoa/Email/{email}", "diretrix.email", by_email),
        Route("GET", "/Consultas/Pessoa/{cpf}", "diretrix.cpf", by_cpf),
    ),
    authorized=authorized,
    refusal=Answer(401, {"erro": "Não autorizado"}, {"WWW-Authenticate": 'Basic realm="Diretrix"'}),
    latency_s=lambda config: config.diretrix_latency_s,
)
