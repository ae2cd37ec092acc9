from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.profile import Address, Company, Phone, Profile, from_json, profile_from_work, to_json

CPF = "52998224725"


def answer() -> dict[str, Any]:
    return {
        "status": 200,
        "DadosBasicos": {
            "nome": "ANA DUARTE",
            "cpf": "529.982.247-25",
            "dataNascimento": "12/03/1980",
            "sexo": "F - FEMININO",
            "nomeMae": "HELENA DUARTE",
            "signo": "Peixes",
        },
        "DadosEconomicos": {
            "renda": "4321,09",
            "poderAquisitivo": {
                "poderAquisitivoDescricao": "MÉDIO",
                "faixaPoderAquisitivo": "De R$ 1630 até R$ 4082",
            },
            "score": {"scoreCSBA": 712, "scoreCSBAFaixaRisco": "BAIXO RISCO"},
        },
        "profissao": {"cbo": "2141", "cboDescricao": "ARQUITETO"},
        "emails": [
            {"email": "ana2@example.com", "prioridade": 2, "qualidade": "BOM"},
            {"email": "ANA@example.com", "prioridade": "1"},
            {"email": "nao@tem.com", "prioridade": 0},
        ],
        "telefones": [
            {"telefone": "11987654321", "tipo": "MOVEL", "operadora": "X", "whatsapp": "SIM"},
            {"telefone": "1134567890", "whatsapp": None},
            {"telefone": "(11) 98765-4321", "whatsapp": None},
        ],
        "enderecos": [
            {
                "tipoLogradouro": "RUA",
                "logradouro": "DAS ACÁCIAS",
                "logradouroNumero": 12,
                "complemento": None,
                "bairro": "CENTRO",
                "cidade": "SÃO PAULO",
                "uf": "SP",
                "cep": "01000000",
            },
            {"bairro": "SEM RUA"},
        ],
        "empresas": [{"cnpj": "11222333000181", "relacao": "SÓCIO"}, {"relacao": "SEM CNPJ"}],
        "vacinas": [{"nome": "SECRETA"}],
        "parentes": [{"nome": "SECRETO"}],
    }


def test_the_allow_listed_fields_get_past_the_boundary():
    """Every allowed field is read; contacts are cleaned, ordered and made distinct."""
    assert profile_from_work(answer(), CPF) == Profile(
        cpf=CPF,
        name="ANA DUARTE",
        birth_date="12/03/1980",
        sex="F - FEMININO",
        occupation="ARQUITETO",
        income="4321,09",
        purchasing_power="MÉDIO",
        purchasing_power_range="De R$ 1630 até R$ 4082",
        score="712",
        score_band="BAIXO RISCO",
        emails=("ana@example.com", "ana2@example.com"),
        phones=(Phone("11987654321", whatsapp=True), Phone("1134567890")),
        addresses=(
            Address(
                street="RUA DAS ACÁCIAS",
                number="12",
                district="CENTRO",
                city="SÃO PAULO",
                state="SP",
                postcode="01000000",
            ),
        ),
        companies=(Company("11222333000181", "SÓCIO"),),
    )


def test_everything_else_is_dropped():
    """Vaccinations, relatives, the mother's name and whatever comes next never get in."""
    profile = profile_from_work(answer(), CPF)
    assert profile is not None
    stored = orjson.dumps(to_json(profile)).decode()
    for secret in ("SECRET", "HELENA", "Peixes", "operadora", "qualidade", "2141"):
        assert secret not in stored


@pytest.mark.parametrize(
    "nonsense",
    [
        *(None, "", "<html>502</html>", [], [answer()], 7, 1.5, True, {}, {"status": "error"}),
        {"DadosBasicos": None, "DadosEconomicos": [], "emails": {}, "telefones": "x", "empresas": 3},
        {"DadosBasicos": {"nome": None, "cpf": []}, "emails": [None, [], "a@example.com", {"email": 1}]},
        {"DadosBasicos": {"nome": {"a": 1}, "sexo": True}, "DadosEconomicos": {"renda": {}, "score": "x"}},
        {"enderecos": [[[]]], "telefones": [{"telefone": {"n": 1}}, {"telefone": None}], "profissao": "x"},
        {"DadosBasicos": {"cpf": "529.982.247-25"}},
    ],
)
def test_an_answer_without_anything_usable_is_no_profile(nonsense):
    """HTML, lists, nulls and other types give None and never raise."""
    assert profile_from_work(nonsense, CPF) is None


def test_an_answer_about_another_person_is_no_profile():
    """A profile is never shown under a CPF that is not its own."""
    other = answer()
    other["DadosBasicos"]["cpf"] = "111.444.777-35"
    assert profile_from_work(other, CPF) is None


def test_numbers_where_texts_are_expected_are_taken_as_texts():
    """A score, an income, a phone or a house number may come as a number."""
    profile = profile_from_work(
        {
            "DadosEconomicos": {"renda": 1234.5, "score": {"scoreCSBA": 700}},
            "telefones": [{"telefone": 11987654321, "whatsapp": True}],
        },
        CPF,
    )
    assert profile is not None
    assert (profile.income, profile.score) == ("1234.5", "700")
    assert profile.phones == (Phone("11987654321", whatsapp=True),)


def test_lists_and_texts_are_bounded():
    """At most 10 of each and 200 characters a text, whatever the answer's size."""
    big = {
        "DadosBasicos": {"nome": "N" * 1_000_000, "sexo": 10**5000},
        "emails": [{"email": f"ana{n}@example.com"} for n in range(5_000)],
        "telefones": [{"telefone": f"119{87000000 + n * 7}"} for n in range(5_000)],
        "enderecos": [{"logradouro": f"RUA {n}"} for n in range(5_000)],
        "empresas": [{"cnpj": f"{n:014d}", "relacao": "R" * 1_000} for n in range(5_000)],
    }
    profile = profile_from_work(big, CPF)
    assert profile is not None
    assert (len(profile.name), profile.sex) == (200, "")
    lists = (profile.emails, profile.phones, profile.addresses, profile.companies)
    assert [len(items) for items in lists] == [10, 10, 10, 10]
    assert len(profile.companies[0].relation) == 200


def test_control_characters_do_not_get_past_the_boundary():
    """A name with line breaks or ANSI codes is one plain line from here on."""
    profile = profile_from_work({"DadosBasicos": {"nome": "Ana\r\n\x1b[31mDuarte\x00\ud800"}}, CPF)
    assert profile is not None
    assert profile.name == "Ana Duarte"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["DadosBasicos", "DadosEconomicos", "profissao", "emails", "telefones", "enderecos", "empresas"]
INNER = [
    *("nome", "cpf", "renda", "score", "poderAquisitivo", "email", "prioridade", "telefone", "whatsapp"),
    *("logradouro", "cep", "cnpj", "relacao", "cboDescricao", "dataNascimento"),
]
SECTION = st.dictionaries(st.sampled_from(INNER), JSON, max_size=4)


@given(st.dictionaries(st.sampled_from(NAMES), JSON | SECTION | st.lists(SECTION, max_size=3)) | JSON)
def test_no_answer_makes_the_boundary_raise(nonsense):
    """Whatever JSON comes, the result is a profile that can be stored and read back, or None."""
    profile = profile_from_work(nonsense, CPF)
    if profile is not None:
        assert from_json(orjson.loads(orjson.dumps(to_json(profile)))) == profile


def test_a_profile_survives_being_recorded_and_unknown_fields_are_passed_over():
    """A retry, also by another version, reads back what was recorded."""
    profile = profile_from_work(answer(), CPF)
    assert profile is not None
    form = orjson.loads(orjson.dumps(to_json(profile)))
    assert from_json({**form, "later_field": 1}) == profile


@pytest.mark.parametrize("form", [None, [], {}, {"cpf": 1}, {"cpf": CPF, "emails": "x"}])
def test_a_damaged_profile_record_is_refused(form):
    """The profile is fetched again rather than guessed at."""
    with pytest.raises(ValueError, match="recorded profile"):
        from_json(form)
