import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.br import cpf as cpf_rules

from processor.contacts import (
    clean_cpf,
    display_phone,
    first_usable_phone,
    format_cpf,
    mask_cpf,
    usable_email,
    usable_phone,
)
from processor.text import clean


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("(11) 98765-4321", "11987654321"),
        ("5511987654321", "11987654321"),
        ("+55 11 98765-4321", "11987654321"),
        ("011 98765-4321", "11987654321"),
        ("0 15 11 98765-4321", "11987654321"),
        ("11 3456-7890", "1134567890"),
        ("55987654321", "55987654321"),  # area code 55 (Santa Maria), not the country's
        ("+55 (55) 98765-4321", "55987654321"),
        ("11 8765-4329", "11987654329"),  # from before the ninth digit
        ("11 97531-8642 / 11 3456-7890", "11975318642"),
        ("99999-9999 ou (21) 97531-8642", "21975318642"),
    ],
)
def test_any_spelling_of_a_brazilian_phone_gives_its_national_digits(text, digits):
    """Every spelling that C2S sends leads to the same digits, without the 55."""
    assert usable_phone(text) == digits


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "não tenho", "-", "0", "190", "987654321", "x" * 10_000, "9" * 10_000),
        *("99999999999", "(11) 99999-9999", "11 91111-1111", "(11) 1111-1111", "11111111111", "000000000"),
        *("(00) 98765-4321", "(20) 98765-4321", "(10) 3456-7890"),  # no such area codes
        *("1234567890", "12345678901", "11 91234-5678", "(11) 92345-6789"),
        *("0800 123 4567", "+1 415 555 2671", "+351 912 345 678"),
    ],
)
def test_junk_foreign_and_impossible_phones_are_not_worth_a_look_up(text):
    """No look-up is spent on what cannot lead to a person."""
    assert usable_phone(text) is None


def test_the_first_usable_phone_wins_in_order_of_trust():
    """Junk in front is skipped; nothing usable gives None."""
    assert first_usable_phone(["999999999", "", "(21) 97531-8642", "11987654321"]) == "21975318642"
    assert first_usable_phone(["", "190"]) is None


@given(st.text(max_size=150))
def test_whatever_is_typed_as_a_contact_gives_clean_data_or_nothing(text):
    """No text makes the contact checks raise, and what passes is ASCII digits or a lower-case address."""
    phone, email = usable_phone(text), usable_email(text)
    assert phone is None or (set(phone) <= set(string.digits) and len(phone) in (10, 11))
    assert email is None or (email.isascii() and email == email.lower() and " " not in email)


def test_usable_phones_stay_usable():
    """Cleaning is idempotent: the digits of a usable phone are usable."""
    for text in ("(11) 98765-4321", "11 3456-7890", "55987654321"):
        digits = usable_phone(text)
        assert digits is not None
        assert usable_phone(digits) == digits


def test_phones_are_shown_as_people_write_them():
    """Mobile and fixed; what is neither is left alone."""
    assert display_phone("11987654321") == "(11) 98765-4321"
    assert display_phone("1134567890") == "(11) 3456-7890"
    assert display_phone("123") == "123"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" Maria.Souza+imoveis@Example.COM ", "maria.souza+imoveis@example.com"),
        ("joao_1980@correio.com.br", "joao_1980@correio.com.br"),
        ("a@empresa.com.br", "a@empresa.com.br"),
        ("testemunha@example.org", "testemunha@example.org"),
    ],
)
def test_a_valid_address_is_taken_in_lower_case(text, address):
    """Real-looking addresses pass, also those that merely resemble junk."""
    assert usable_email(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "x@x", "maria", "naotem", "sem@email", "maria@", "@example.com", "a b@example.com"),
        *("maria@@example.com", ".maria@example.com", "maria.@example.com", "ma..ria@example.com"),
        *("maria@-example.com", "maria@example.c", "maria@example.123", "maria@exam_ple.com"),
        *("nao@tem.com", "naotem@gmail.com", "teste@teste.com", "teste@gmail.com", "maria@teste.com.br"),
        *("nao.tem@gmail.com", "x@x.com", "xxx@xxx.com", "aaaa@gmail.com", "sem-email@example.com"),
        *("maría@example.com", "maria@exämple.com", "maria@example.com\nbcc@example.com"),
        *("m" * 65 + "@example.com", "maria@" + "e" * 250 + ".com"),
    ],
)
def test_malformed_and_junk_addresses_are_refused(text):
    """No look-up is spent on an address that nobody has."""
    assert usable_email(text) is None


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ("529.982.247-25", "52998224725"),
        (" 52998224725 ", "52998224725"),
        (52998224725, "52998224725"),
        (52998224725.0, "52998224725"),
        (191, "00000000191"),
        ("00000000191", "00000000191"),
    ],
)
def test_a_valid_cpf_is_taken_in_any_spelling(value, digits):
    """Formatted, plain and numeric CPFs give the same eleven digits."""
    assert clean_cpf(value) == digits


@given(st.integers(min_value=1, max_value=999_999_999))
def test_a_cpf_that_lost_its_leading_zeros_is_restored(base):
    """Numbers lose leading zeros on their way through spreadsheets; the checksum vouches for them."""
    nine = f"{base:09d}"
    cpf = next(text for n in range(100) if cpf_rules.is_valid(text := f"{nine}{n:02d}"))
    expected = None if len(set(cpf)) == 1 else cpf
    assert clean_cpf(int(cpf)) == expected
    assert clean_cpf(format_cpf(cpf)) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, [], {}, b"52998224725", "", "abc", "529.982.247-26", 52998224726, 0, -1),
        *("111.111.111-11", 11111111111, "00000000000", "5299822472", "529982247250", 10**30, float("nan")),
        *(float("inf"), "٥٢٩٩٨٢٢٤٧٢٥", "5" * 100_000, "529\n982"),
    ],
)
def test_what_is_no_cpf_is_refused(value):
    """Wrong checksums, repeated digits and other types give None and never raise."""
    assert clean_cpf(value) is None


def test_a_masked_cpf_shows_its_middle_only():
    """The form that C2S.md §4 asks for."""
    assert mask_cpf("52998224725") == "***.982.247-**"
    assert format_cpf("52998224725") == "529.982.247-25"


@pytest.mark.parametrize(
    ("dirty", "line"),
    [
        ("Ana\r\nref: 123456789abc", "Ana ref: 123456789abc"),
        ("\x1b[31mAna\x1b[0m\x00 Souza\t\x7f", "Ana Souza"),
        ("\x1b]0;title\x07Ana", "Ana"),
        ("Ana\u2028Souza\u202e\u200b", "Ana Souza"),
        ("Ana \ud800", "Ana"),
        ("abcdef", "abcd"),
        ("abc def", "abc"),
    ],
)
def test_a_text_from_outside_is_one_line_without_control_characters(dirty, line):
    """CR, LF, ANSI codes, bidirectional overrides and lone surrogates become spaces; length is bounded."""
    assert clean(dirty, 4 if dirty.startswith("abc") else 200) == line


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_clean_text_is_printable_and_bounded(text, limit):
    """Whatever comes in, one printable line of at most the limit comes out."""
    line = clean(text, limit)
    assert len(line) <= limit
    assert all(char.isprintable() or unicodedata.category(char) == "Zs" for char in line)
    assert clean(line, limit) == line
