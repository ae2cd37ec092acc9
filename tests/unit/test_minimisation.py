"""What goes on record is less than what was found: the income as a band, unless asked for exactly."""

import json

import pytest

from processor.findings import enrichment_of, income_band
from processor.people import Match, People
from processor.profile import Profile, profile_from_work

CPF = "52998224725"
PEOPLE = People(by_phone=Match("phone", "11987654321", CPF, "ANA SOUZA"))


@pytest.mark.parametrize(
    ("given", "band"),
    [
        ("0,00", "até R$ 2.000"),
        ("1999,99", "até R$ 2.000"),
        ("2000,00", "de R$ 2.000 a R$ 4.000"),
        ("R$ 4.321,09", "de R$ 4.000 a R$ 7.000"),
        ("19999.5", "de R$ 15.000 a R$ 20.000"),
        ("20000", "acima de R$ 20.000"),
        ("1.234.567,89", "acima de R$ 20.000"),
        ("", ""),
        ("não informada 4321", ""),
    ],
)
def test_an_income_becomes_its_band(given, band):
    """Whatever spelling; what is no amount is left out, for it could hold one."""
    assert income_band(given) == band


def test_the_record_holds_the_band_unless_asked_for_exactly():
    """STORE_INCOME decides; everything else of the profile stays."""
    profiles = {CPF: Profile(cpf=CPF, name="ANA SOUZA", income="4321,09", score="700")}
    kept = json.loads(enrichment_of(PEOPLE, profiles, exact_income=False))["people"][0]["profile"]
    assert (kept["income"], kept["score"]) == ("de R$ 4.000 a R$ 7.000", "700")
    exact = json.loads(enrichment_of(PEOPLE, profiles, exact_income=True))["people"][0]["profile"]
    assert exact["income"] == "4321,09"


def test_the_boundary_lets_nothing_pass_that_is_not_on_the_list():
    """Every field outside the allow-list of C2S.md is dropped before anything is stored."""
    secret = "SEGREDO"
    answer = {
        "DadosBasicos": {"nome": "ANA", "cpf": CPF, "nomeMae": secret, "nomePai": secret, "rg": secret},
        "DadosEconomicos": {
            "renda": "10,00",
            "contas": [secret],
            "poderAquisitivo": {"poderAquisitivoCodigo": secret},
            "score": {"scoreCSB": secret},
        },
        "profissao": {"pis": secret},
        "telefones": [{"telefone": "11987654321", "titular": secret}],
        "emails": [{"email": "ana@example.com", "origem": secret}],
        "enderecos": [{"logradouro": "RUA A", "latitude": secret}],
        "empresas": [{"cnpj": "1", "socios": [secret]}],
        "vacinas": [secret],
        "parentes": [{"nome": secret}],
        "vizinhos": [{"nome": secret}],
        "beneficios": [secret],
        "perfilConsumo": {"x": secret},
    }
    profile = profile_from_work(answer, CPF)
    assert profile is not None
    assert secret not in enrichment_of(PEOPLE, {CPF: profile}, exact_income=True)
    assert secret not in repr(profile)
