from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.message import CUT_NOTE, compose, format_money, parse_date, parse_money
from processor.people import Match, People
from processor.profile import Address, Company, Phone, Profile
from schema.identity import event_id_of, marker

TODAY = date(2026, 1, 21)
EVENT_ID = event_id_of("L1:on_create_lead")
REF = marker(EVENT_ID)

ANA = Profile(
    cpf="52998224725",
    name="ANA DUARTE",
    birth_date="12/03/1980",
    sex="F - FEMININO",
    occupation="ARQUITETO",
    income="4321,09",
    purchasing_power="MÉDIO",
    purchasing_power_range="De R$ 1630 até R$ 4082",
    score="712",
    score_band="BAIXO RISCO",
    emails=("ana@example.com", "ana2@example.com", "ana3@example.com", "ana4@example.com"),
    phones=(
        Phone("11987654321", whatsapp=True),
        Phone("1134567890"),
        Phone("11975318642"),
        Phone("11975318643"),
    ),
    addresses=(
        Address(
            street="RUA DAS ACÁCIAS",
            number="12",
            complement="AP 3",
            district="CENTRO",
            city="SÃO PAULO",
            state="SP",
            postcode="01000000",
        ),
        Address(street="AVENIDA DO MAR", city="SANTOS"),
        Address(street="TERCEIRA"),
    ),
    companies=(Company("11222333000181", "SÓCIO"), Company("123"), Company("4"), Company("5")),
)
BRUNO = Profile(cpf="11144477735", name="BRUNO TAVARES", income="não informada")
PROFILES = {ANA.cpf: ANA, BRUNO.cpf: BRUNO}

BY_PHONE = Match("phone", "11987654321", ANA.cpf, "Ana Duarte")
BY_EMAIL = Match("email", "ana@example.com", ANA.cpf, "Ana Duarte")
BRUNO_BY_EMAIL = Match("email", "ana@example.com", BRUNO.cpf, "Bruno Tavares")

SAME = f"""\
Telefone e e-mail pertencem à mesma pessoa.

DADOS PESSOAIS
Nome: ANA DUARTE
CPF: ***.982.247-**
Nascimento: 12/03/1980 (45 anos)
Sexo: Feminino
Profissão: ARQUITETO

DADOS FINANCEIROS
Renda: R$ 4.321,09
Poder aquisitivo: MÉDIO (De R$ 1630 até R$ 4082)
Score: 712 (BAIXO RISCO)

E-MAILS
- ana@example.com
- ana2@example.com
- ana3@example.com

TELEFONES
- (11) 98765-4321 (WhatsApp)
- (11) 3456-7890
- (11) 97531-8642

ENDEREÇOS
- RUA DAS ACÁCIAS, 12, AP 3, CENTRO, SÃO PAULO/SP, CEP 01000-000
- AVENIDA DO MAR, SANTOS

EMPRESAS
- CNPJ 11.222.333/0001-81 (SÓCIO)
- CNPJ 123
- CNPJ 4

{REF}"""

DIFFERENT = f"""\
ATENÇÃO: telefone e e-mail pertencem a pessoas diferentes.

Pessoa encontrada pelo telefone (11) 98765-4321
DADOS PESSOAIS
Nome: Ana Duarte
CPF: ***.982.247-**

Pessoa encontrada pelo e-mail ana@example.com
DADOS PESSOAIS
Nome: BRUNO TAVARES
CPF: ***.444.777-**

DADOS FINANCEIROS
Renda: não informada

{REF}"""

PHONE_ONLY = f"""\
Pessoa encontrada apenas pelo telefone (11) 98765-4321.

DADOS PESSOAIS
Nome: Ana Duarte
CPF: ***.982.247-**

{REF}"""

EMAIL_ONLY = f"""\
Pessoa encontrada apenas pelo e-mail ana@example.com.

DADOS PESSOAIS
Nome: BRUNO TAVARES
CPF: ***.444.777-**

DADOS FINANCEIROS
Renda: não informada

{REF}"""

NONE = f"""\
Nenhuma pessoa encontrada pelo telefone ou pelo e-mail deste lead.

{REF}"""


def text_of(people, profiles, max_chars=5000, **options):
    return compose(people, profiles, event_id=EVENT_ID, today=TODAY, max_chars=max_chars, **options)


@pytest.mark.parametrize(
    ("people", "profiles", "kind", "text"),
    [
        (People(BY_PHONE, BY_EMAIL), PROFILES, "same", SAME),
        (People(BY_PHONE, BRUNO_BY_EMAIL), {BRUNO.cpf: BRUNO}, "different", DIFFERENT),
        (People(BY_PHONE, None), {}, "phone_only", PHONE_ONLY),
        (People(None, BRUNO_BY_EMAIL), PROFILES, "email_only", EMAIL_ONLY),
        (People(), {}, "none", NONE),
    ],
)
def test_the_whole_text_for_each_kind_of_outcome(people, profiles, kind, text):
    """What a broker reads, character for character."""
    assert people.kind == kind
    assert text_of(people, profiles) == text


def test_the_cpf_is_whole_only_on_request_and_the_income_is_multiplied():
    """MESSAGE_SHOW_CPF and INCOME_MULTIPLIER do what they say; an unparsable income stays as given."""
    text = text_of(People(BY_PHONE, BRUNO_BY_EMAIL), PROFILES, show_cpf=True, income_multiplier=1.5)
    assert "CPF: 529.982.247-25\n" in text
    assert "CPF: 111.444.777-35\n" in text
    assert "Renda: R$ 6.481,64\n" in text
    assert "Renda: não informada\n" in text


def test_a_long_message_is_cut_between_two_sections_with_a_note_above_the_marker():
    """Each section is there whole or not at all, for every limit."""
    people = People(BY_PHONE, BRUNO_BY_EMAIL)
    whole = text_of(people, PROFILES)
    sections = whole.split("\n\n")[:-1]
    for limit in range(200, len(whole)):
        text = text_of(people, PROFILES, max_chars=limit)
        *kept, note, last = text.split("\n\n")
        assert len(text) <= limit
        assert (note, last) == (CUT_NOTE, REF)
        assert kept == sections[: len(kept)]
        assert kept
    assert text_of(people, PROFILES, max_chars=len(whole)) == whole


def test_no_value_can_break_a_line_or_forge_the_marker():
    """CR, LF and ANSI codes in any value become spaces; only the last line is the marker."""
    evil = f"x\r\n{REF}\n\x1b[31my\x00\u2028z"
    profile = Profile(
        cpf=ANA.cpf,
        name=evil,
        birth_date=evil,
        sex=evil,
        occupation=evil,
        income=evil,
        purchasing_power=evil,
        score_band=evil,
        emails=(evil,),
        phones=(Phone(evil),),
        addresses=(Address(street=evil, city=evil, postcode=evil),),
        companies=(Company(evil, evil),),
    )
    people = People(Match("phone", evil, ANA.cpf, evil), Match("email", evil, BRUNO.cpf, evil))
    lines = text_of(people, {ANA.cpf: profile}).split("\n")
    assert [line for line in lines if line.startswith("ref:")] == [REF]
    assert lines[-1] == REF
    assert all(line.isprintable() for line in lines)


VALUE = st.text(max_size=300)
PROFILE = st.builds(
    Profile,
    cpf=st.just(ANA.cpf),
    name=VALUE,
    birth_date=VALUE,
    income=VALUE,
    emails=st.lists(VALUE, max_size=4).map(tuple),
    addresses=st.lists(st.builds(Address, street=VALUE, postcode=VALUE), max_size=3).map(tuple),
)


@given(profile=PROFILE, contact=VALUE, limit=st.integers(min_value=200, max_value=6000))
def test_every_message_fits_and_ends_in_its_marker(profile, contact, limit):
    """Whatever the values, the limit holds, the first line says what was found, the last is the marker."""
    people = People(Match("email", contact, ANA.cpf, contact), None)
    text = text_of(people, {ANA.cpf: profile}, max_chars=limit)
    assert len(text) <= limit
    assert text.startswith("Pessoa encontrada apenas pelo ")
    assert text.split("\n")[-1] == REF
    text.encode()


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1234,56", "1234.56"),
        ("1.234,56", "1234.56"),
        ("R$ 1.234.567,8", "1234567.8"),
        ("R$1234", "1234"),
        ("1.234", "1234"),
        ("1234.5", "1234.5"),
        ("0,00", "0"),
    ],
)
def test_money_as_brazilians_write_it_is_read(text, amount):
    """Points group, a comma divides; a JSON number's point divides."""
    assert parse_money(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text", ["", "R$", "abc", "1,2,3", "12.34.56", "-5", "1e5", "NaN", "De R$ 1 até R$ 2", "9" * 40, "١٢٣"]
)
def test_what_is_no_amount_is_not_read_as_one(text):
    """It is then shown as given."""
    assert parse_money(text) is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "R$ 0,00"), ("999.995", "R$ 1.000,00"), ("1234567.5", "R$ 1.234.567,50")],
)
def test_money_is_shown_as_brazilians_write_it(amount, text):
    """Two decimals, points between thousands."""
    assert format_money(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("21/01/1980", "21/01/1980 (46 anos)"),
        ("22/01/1980", "22/01/1980 (45 anos)"),
        ("1980-01-21", "21/01/1980 (46 anos)"),
        ("1980-01-21T00:00:00", "21/01/1980 (46 anos)"),
        ("29/02/2000", "29/02/2000 (25 anos)"),
        ("01/01/1700", "01/01/1700"),
        ("01/01/2030", "01/01/2030"),
        ("31/02/1980", "31/02/1980"),
        ("março de 1980", "março de 1980"),
    ],
)
def test_the_birth_date_has_an_age_only_where_it_can_be_known(given_text, shown):
    """A birthday counts from its day on; impossible dates are shown as given."""
    profile = Profile(cpf=ANA.cpf, birth_date=given_text)
    lines = text_of(People(BY_PHONE, None), {ANA.cpf: profile}).split("\n")
    assert f"Nascimento: {shown}" in lines


def test_a_date_is_read_in_both_spellings():
    """Day first, or ISO-8601."""
    assert parse_date("12/03/1980") == parse_date("1980-03-12") == date(1980, 3, 12)
    assert parse_date("") is None
