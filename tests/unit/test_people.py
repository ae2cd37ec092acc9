import orjson
import pytest

from processor.people import Found, Match, People, from_json, match_people, to_json

ANA = Found("Ana Duarte", "52998224725")
BRUNO = Found("Bruno Tavares", "11144477735")
CLARA = Found("Clara Nogueira", "00000000191")
PHONE = "11987654321"
EMAIL = "ana@example.com"


@pytest.mark.parametrize(
    ("by_phone", "by_email", "kind", "cpfs"),
    [
        ([ANA], [ANA], "same", (ANA.cpf,)),
        ([ANA], [BRUNO], "different", (ANA.cpf, BRUNO.cpf)),
        ([ANA], [], "phone_only", (ANA.cpf,)),
        ([], [BRUNO], "email_only", (BRUNO.cpf,)),
        ([], [], "none", ()),
    ],
)
def test_the_two_look_ups_together_say_whose_contacts_they_are(by_phone, by_email, kind, cpfs):
    """Each combination has its kind and its distinct CPFs, the phone's first."""
    people = match_people(PHONE, by_phone, EMAIL, by_email)
    assert people.kind == kind
    assert people.cpfs == cpfs
    assert [match.cpf for match in people.matches] == list(cpfs)


def test_the_best_of_each_list_counts():
    """Look-ups answer best first; the rest is not shown."""
    people = match_people(PHONE, [BRUNO, CLARA], EMAIL, [ANA])
    assert people.by_phone == Match("phone", PHONE, BRUNO.cpf, BRUNO.name)
    assert people.by_email == Match("email", EMAIL, ANA.cpf, ANA.name)


def test_a_person_whom_both_contacts_lead_to_wins_over_a_better_ranked_one():
    """A family's shared phone does not turn one customer into two people."""
    people = match_people(PHONE, [BRUNO, ANA], EMAIL, [CLARA, ANA])
    assert people.kind == "same"
    assert people.cpfs == (ANA.cpf,)


def test_of_several_shared_people_both_sides_choose_the_same_one():
    """The phone's order decides, whatever the order of the e-mail's list."""
    people = match_people(PHONE, [BRUNO, ANA], EMAIL, [ANA, BRUNO])
    assert people.cpfs == (BRUNO.cpf,)


def test_without_a_contact_nothing_was_found_by_it():
    """An unusable contact has no match, even if a list came with it."""
    assert match_people(None, [ANA], EMAIL, [BRUNO]).kind == "email_only"
    assert match_people(None, [], None, []) == People()


@pytest.mark.parametrize("by_phone", [[], [ANA]])
@pytest.mark.parametrize("by_email", [[], [ANA], [BRUNO]])
def test_the_outcome_survives_being_recorded_as_json(by_phone, by_email):
    """A retry reads back exactly what the step recorded."""
    people = match_people(PHONE, by_phone, EMAIL, by_email)
    assert from_json(orjson.loads(orjson.dumps(to_json(people)))) == people


@pytest.mark.parametrize("form", [None, [], "x", {"by_phone": 1}, {"by_phone": {"contact_kind": "fax"}}])
def test_a_damaged_record_is_refused_without_quoting_it(form):
    """The look-ups are made again rather than guessed at."""
    with pytest.raises(ValueError, match="recorded people step"):
        from_json(form)
