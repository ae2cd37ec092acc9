"""Invented people: deterministic, valid, and found by any of their contacts."""

import re
import subprocess
import sys
from datetime import UTC, datetime

import orjson
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.br import cpf

from ops.sandbox import leads, people
from ops.sandbox.faults import spoiled
from ops.sandbox.limits import Rate, SlidingWindow, parse_rate
from ops.sandbox.webhooks import SHAPES, signature, webhook_body
from ops.sandbox.work import profile

NOW = datetime(2026, 1, 21, 10, 30, tzinfo=UTC)
LEAD_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,40}", fullmatch=True)


@given(LEAD_IDS)
def test_the_same_lead_id_is_always_the_same_person(lead_id):
    """Two inventions of one id are equal."""
    assert people.invent(lead_id) == people.invent(lead_id)


def test_another_process_invents_the_same_person():
    """Nothing depends on the process, e.g. on its hash seed."""
    code = "from ops.sandbox import people; print(people.invent('L1').phone_person.cpf)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == people.invent("L1").phone_person.cpf


@given(st.text(max_size=40))
def test_a_person_is_found_by_phone_email_and_cpf(text):
    """Each of the three contacts leads back to the same person, with no index."""
    person = people.person_of_text(text)
    assert people.by_email(person.email) == person
    assert people.by_cpf(person.cpf) == person
    assert people.by_phone(person.phone) == person


@given(LEAD_IDS.filter(lambda text: people.kind_of(text) is people.Kind.ORDINARY))
def test_an_ordinary_lead_has_valid_contacts_of_one_person(lead_id):
    """Phone and e-mail are valid and belong to one person, whose CPF has right check digits."""
    invented = people.invent(lead_id)
    parsed = phonenumbers.parse(invented.phone, "BR")
    assert phonenumbers.is_valid_number(parsed)
    assert people.by_phone(str(parsed.national_number)) == invented.phone_person
    assert people.by_email(invented.email) == invented.email_person == invented.phone_person
    assert cpf.is_valid(invented.phone_person.cpf)
    assert invented.email.rpartition("@")[2] in people.DOMAINS


def test_different_leads_are_different_people():
    """A thousand leads are a thousand people."""
    assert len({people.invent(f"L{number}").phone_person.cpf for number in range(1000)}) == 1000


def test_twins_lead_to_two_people():
    """Phone and e-mail of a `twins-` lead belong to two different people."""
    twins = people.invent("twins-1")
    assert people.by_phone(re.sub(r"\D", "", twins.phone)[-11:]) == twins.phone_person
    assert people.by_email(twins.email) == twins.email_person
    assert twins.phone_person.cpf != twins.email_person.cpf


@pytest.mark.parametrize("number", range(30))
def test_nomatch_contacts_look_good_and_lead_to_nobody(number):
    """Valid contacts of a `nomatch-` lead are on nobody's record."""
    invented = people.invent(f"nomatch-{number}")
    parsed = phonenumbers.parse(invented.phone, "BR")
    assert phonenumbers.is_valid_number(parsed)
    assert people.by_phone(str(parsed.national_number)) is None
    assert "@" in invented.email
    assert people.by_email(invented.email) is None


@pytest.mark.parametrize("number", range(30))
def test_junk_contacts_lead_to_nobody(number):
    """Junk is not a valid contact, and looking it up anyway finds nobody."""
    invented = people.invent(f"junk-{number}")
    parsed = phonenumbers.parse(invented.phone, "BR")
    repeated = len(set(re.sub(r"\D", "", invented.phone)[2:])) == 1
    assert repeated or not phonenumbers.is_valid_number(parsed)
    assert people.by_phone(re.sub(r"\D", "", invented.phone)) is None
    assert people.by_email(invented.email) is None


def test_one_sided_leads_have_one_contact():
    """`phoneonly-` has no e-mail, `emailonly-` no phone."""
    phone_only, email_only = people.invent("phoneonly-1"), people.invent("emailonly-1")
    assert phone_only.phone
    assert (phone_only.email, phone_only.email_person) == ("", None)
    assert email_only.email
    assert (email_only.phone, email_only.phone_person) == ("", None)


def test_contacts_never_seen_lead_to_somebody_always_the_same():
    """A landline, a foreign e-mail and any valid CPF are somebody's; the contact itself is on record."""
    assert people.by_phone("1133334444") == people.by_phone("1133334444")
    assert people.by_phone("1133334444").phone == "1133334444"
    assert people.by_email("Maria@exemplo.example") == people.by_email("maria@exemplo.example")
    assert people.by_email("maria@exemplo.example").email == "maria@exemplo.example"
    assert people.by_cpf("52998224725").cpf == "52998224725"


@pytest.mark.parametrize(
    "digits", ["", "5511987654321", "00987654321", "11999999999", "119", "１１９８７６５４３２１"]
)
def test_what_is_no_phone_is_nobodys(digits):
    """Junk, a 55 in front, an invalid DDD and non-ASCII digits find nobody."""
    assert people.by_phone(digits) is None


@pytest.mark.parametrize("digits", ["", "52998224724", "11111111111", "abc", "529.982.247-25", "²²²²²²²²²²²"])
def test_what_is_no_cpf_is_nobodys(digits):
    """Wrong check digits, repeated digits and punctuation find nobody."""
    assert people.by_cpf(digits) is None


def test_sample_traffic_holds_every_kind():
    """Sample ids are unique, the same in every run of the same name, and cover each special case."""
    ids = [people.sample_lead_id(number, "r1") for number in range(300)]
    assert len(set(ids)) == 300
    assert ids == [people.sample_lead_id(number, "r1") for number in range(300)]
    assert {people.kind_of(lead_id) for lead_id in ids} == set(people.Kind)


def test_a_profile_holds_what_must_be_dropped():
    """The Work API's answer has the fields to keep and the ones that nobody may keep."""
    person = people.person_of(7)
    answer = profile(person)
    assert answer == profile(person)
    assert answer["DadosBasicos"]["cpf"] == person.cpf
    assert len(answer["vacinas"]) == 4
    assert len(answer["parentes"]) == 6
    assert len(answer["vizinhos"]) == 12


@pytest.mark.parametrize("shape", SHAPES)
def test_full_webhook_shapes_carry_the_customer(shape):
    """Every shape names the lead; all but the seed's carry the invented customer."""
    body = webhook_body("L1", "on_create_lead", shape, NOW)
    assert body == webhook_body("L1", "on_create_lead", shape, NOW)
    assert b'"L1"' in body
    assert (people.invent("L1").email.encode() in body) == (shape != "seed")
    assert (b"on_create_lead" in body) == (shape != "get")


def test_the_seed_shape_is_the_seeds():
    """Exactly lead_id, action and timestamp in whole seconds."""
    body = orjson.loads(webhook_body("L1", "on_close_lead", "seed", NOW))
    assert body == {"lead_id": "L1", "action": "on_close_lead", "timestamp": 1768991400}


def test_the_signature_is_hex_hmac_sha256():
    """A known HMAC-SHA256 test vector comes out."""
    expected = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    assert signature(b"The quick brown fox jumps over the lazy dog", "key") == expected


def test_attributes_look_like_c2s():
    """Prices are Brazilian text, and all named parts are there."""
    attributes = leads.attributes("L1", NOW, NOW)
    assert re.fullmatch(r"\d{1,3}(\.\d{3})+,00", attributes["product"]["price"])
    assert attributes["customer"]["phone"] == people.invent("L1").phone
    assert {"product", "seller", "lead_source", "channel", "lead_status", "log", "messages"} <= set(
        attributes
    )


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("120/minute", Rate(120, 60.0)),
        ("1/second", Rate(1, 1.0)),
        (" 5/Hour ", Rate(5, 3600.0)),
        ("", None),
        ("0", None),
    ],
)
def test_rates_are_read(text, rate):
    """`N/second|minute|hour`; empty and 0 mean no limit."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["ten/minute", "10", "10/day", "-1/minute"])
def test_a_wrong_rate_is_refused(text):
    """The error says how a rate reads."""
    with pytest.raises(ValueError, match="N/second, N/minute or N/hour"):
        parse_rate(text)


def test_the_window_slides():
    """A refused call costs nothing; a call leaves the window one period after it was let through."""
    window = SlidingWindow(Rate(2, 60.0))
    assert [window.admit(0.0), window.admit(30.0), window.admit(40.0), window.admit(59.5)] == [0, 0, 20, 1]
    assert [window.admit(60.0), window.admit(61.0), window.admit(90.0)] == [0, 29, 0]


def test_spoiled_answers_keep_their_shape():
    """`nulls` and `strings` change every value, `list` the whole."""
    data = {"a": 1, "b": [{"c": "x"}]}
    assert spoiled("nulls", data) == {"a": None, "b": [{"c": None}]}
    assert spoiled("strings", data) == {"a": "?1", "b": [{"c": "?x"}]}
    assert isinstance(spoiled("list", data), list)
