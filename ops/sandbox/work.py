"""Work API: from CPF to a profile (C2S.md §3), as large and as far too personal as the real answer."""

import hmac
from typing import Any

from aiohttp import web

from ops.sandbox import people
from ops.sandbox.api import Answer, Api, Route
from ops.sandbox.config import SandboxConfig
from ops.sandbox.people import Person
from ops.sandbox.profiles import addresses, companies, emails, phones, rng_of
from ops.sandbox.state import State

_POWERS = (
    ("BAIXO", "De R$ 1630 até R$ 4082"),
    ("MEDIO", "De R$ 4082 até R$ 9897"),
    ("ALTO", "De R$ 9897 até R$ 25554"),
)
_RISKS = ("BAIXO RISCO", "MEDIO RISCO", "ALTO RISCO")
_JOBS = ("Engenheiro civil", "Professora de nível médio", "Analista de sistemas", "Médica clínica", None)
_SEXES = {"F": "F - FEMININO", "M": "M - MASCULINO"}


async def by_cpf(request: web.Request, state: State) -> Answer:
    """The profile of one person."""
    if request.query.get("modulo") != "cpf":
        return Answer(400, {"status": "erro", "mensagem": "Módulo desconhecido"})
    cpf = request.query.get("consulta", "")
    person = state.by_cpf.get(cpf) or people.by_cpf(cpf)
    if person is None:
        return Answer(404, {"status": "erro", "mensagem": "CPF não encontrado"})
    return Answer(200, profile(person))


def profile(person: Person) -> dict[str, Any]:
    """The whole answer: what the allow-list keeps, and what it must drop."""
    rng = rng_of(person, "profile")
    economics = rng.random()
    return {
        "status": 200,
        "DadosBasicos": _basics(person),
        "DadosEconomicos": _economics(person) if economics > 1 / 8 else None,
        "profissao": {"cbo": "000000", "cboDescricao": rng.choice(_JOBS)},
        "emails": emails(person),
        "telefones": phones(person),
        "enderecos": addresses(person),
        "empresas": companies(person),
        **_too_personal(person),
    }


def authorized(request: web.Request, config: SandboxConfig) -> bool:
    """Whether the query string carries the token."""
    given = request.query.get("token", "").encode(errors="surrogateescape")
    return hmac.compare_digest(given, config.work_api_key.encode())


def _basics(person: Person) -> dict[str, Any]:
    rng = rng_of(person, "basics")
    basics: dict[str, Any] = {
        "nome": person.name.upper(),
        "cpf": person.cpf,
        "dataNascimento": person.born.strftime("%d/%m/%Y"),
        "sexo": _SEXES[person.sex],
        "nomeMae": person.mother.upper(),
        "nomePai": None,
        "estadoCivil": rng.choice(("SOLTEIRO(A)", "CASADO(A)", None)),
        "cor": "NAO INFORMADA",
        "situacaoCadastral": {"descricaoSituacaoCadastral": "REGULAR", "dataSituacaoCadastral": "01/01/2024"},
        "obito": {"obito": "NAO", "dataObito": None},
    }
    if rng.random() < 1 / 6:
        del basics["nomeMae"]
    return basics


def _economics(person: Person) -> dict[str, Any]:
    rng = rng_of(person, "economics")
    power, band = rng.choice(_POWERS)
    score = rng.randrange(100, 1000)
    cents = rng.randrange(163_000, 2_500_000)
    return {
        "renda": f"{cents // 100},{cents % 100:02d}",
        "poderAquisitivo": {
            "codigoPoderAquisitivo": str(rng.randrange(1, 9)),
            "poderAquisitivoDescricao": power,
            "faixaPoderAquisitivo": band,
            "rendaPoderAquisitivo": f"{cents // 100},00",
        },
        "score": {
            "scoreCSB": str(score),
            "scoreCSBFaixaRisco": rng.choice(_RISKS),
            "scoreCSBA": rng.choice((score, str(score), None)),
            "scoreCSBAFaixaRisco": rng.choice(_RISKS),
        },
        "serasaMosaic": {"codigoMosaic": "A01", "descricaoMosaic": "Perfil inventado"},
    }


def _too_personal(person: Person) -> dict[str, Any]:
    """Everything that must never get past the client's allow-list."""
    relatives = [people.person_of((person.number + offset) % people.PEOPLE) for offset in range(11, 17)]
    neighbours = [people.person_of((person.number + offset) % people.PEOPLE) for offset in range(21, 33)]
    rng = rng_of(person, "personal")
    return {
        "registroGeral": {"rgNumero": f"{rng.randrange(10**8):08d}", "rgOrgaoEmissor": "SSP"},
        "tituloEleitor": {
            "tituloEleitorNumero": f"{rng.randrange(10**11):012d}",
            "zona": "001",
            "secao": "0001",
        },
        "pis": f"{rng.randrange(10**10):011d}",
        "cns": f"{rng.randrange(10**14):015d}",
        "parentes": [
            {"cpf": one.cpf, "nome": one.name, "parentesco": rng.choice(("MAE", "IRMA(O)", "FILHA(O)"))}
            for one in relatives
        ],
        "vizinhos": [{"cpf": one.cpf, "nome": one.name, "telefone": one.phone} for one in neighbours],
        "vacinas": [
            {"vacina": "COVID-19", "dose": f"{dose}ª dose", "lote": f"EX{rng.randrange(10**4):04d}"}
            for dose in range(1, 5)
        ],
        "beneficios": [{"beneficio": "AUXILIO EXEMPLO", "parcelas": 3, "valorTotal": "1800,00"}],
        "perfilConsumo": {f"propensao{index:02d}": rng.choice(("SIM", "NAO")) for index in range(40)},
        "interessesPessoais": {"viagem": "SIM", "cartaoCredito": "NAO", "religiao": "NAO INFORMADA"},
        "comprasRecentes": [{"produto": f"Produto {index}", "valor": "99,90"} for index in range(12)],
        "foto": None,
    }


API = Api(
    name="work",
    routes=(Route("GET", "/api", "work.cpf", by_cpf),),
    authorized=authorized,
    refusal=Answer(401, {"status": 401, "erro": "Token inválido"}),
    latency_s=lambda config: config.work_latency_s,
)
