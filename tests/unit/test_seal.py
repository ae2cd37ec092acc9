"""Sealing: what a sealed text is bound to, which keys open it, and what a wrong key leads to."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.seal import PREFIX, SealingCodec, codec_of, key_id, key_of
from ops.settings import load_settings
from schema.codec import PlainCodec
from schema.errors import CodecError, KeyMissing, SettingsError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PERSON = '{"name":"Ana Souza","phone":"(11) 98765-4321"}'


def text_of(*keys):
    return ",".join(base64.b64encode(key).decode() for key in keys)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=500))
def test_what_is_sealed_opens_again_and_shows_nothing(clear):
    """Any text comes back as it was; its stored form names only the version and the key."""
    stored = SealingCodec([NEW]).seal("e1", "payload", clear)
    assert stored.startswith(f"{PREFIX}{key_id(NEW)}:")
    assert SealingCodec([NEW]).open("e1", "payload", stored) == clear


def test_the_same_text_is_sealed_differently_each_time():
    """A data key and nonces of its own each time: equal texts cannot be told from their stored forms."""
    codec = SealingCodec([NEW])
    assert len({codec.seal("e1", "payload", PERSON) for _ in range(50)}) == 50


def test_no_two_texts_share_a_data_key_or_a_nonce():
    """Keys are made ahead by the dozen; each serves once."""
    codec = SealingCodec([NEW])
    raw = [base64.b64decode(codec.seal("e1", "payload", PERSON).rpartition(":")[2]) for _ in range(200)]
    for place in (slice(12), slice(12, 60), slice(60, 72)):
        assert len({text[place] for text in raw}) == len(raw)


def test_a_forked_child_seals_with_keys_of_its_own():
    """What the parent has made ahead is the parent's."""
    codec = SealingCodec([NEW])
    codec.seal("e1", "payload", PERSON)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, codec.seal("e1", "payload", PERSON).encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    theirs, ours = os.read(reading, 10_000).decode(), codec.seal("e1", "payload", PERSON)
    assert codec.open("e1", "payload", theirs) == PERSON
    one, other = (base64.b64decode(text.rpartition(":")[2]) for text in (theirs, ours))
    assert all(one[place] != other[place] for place in (slice(12), slice(12, 60), slice(60, 72)))
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(("event", "field"), [("e2", "payload"), ("e1", "message"), ("e1\0payload", "")])
def test_a_sealed_text_opens_only_where_it_belongs(event, field):
    """Moved to another event or field it does not open."""
    codec = SealingCodec([NEW])
    with pytest.raises(CodecError, match="another event or field"):
        codec.open(event, field, codec.seal("e1", "payload", PERSON))


def test_any_changed_byte_is_noticed():
    """Whatever is changed or cut off, nothing opens, and the error quotes nothing."""
    codec = SealingCodec([NEW])
    stored = codec.seal("e1", "payload", PERSON)
    head, _, body = stored.rpartition(":")
    raw = base64.b64decode(body)
    changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    bodies = [base64.b64encode(part).decode() for part in (*changed, *(raw[:at] for at in range(len(raw))))]
    for wrong in (*(f"{head}:{body}" for body in bodies), stored[:-1], stored.replace("v1", "v2"), head):
        with pytest.raises(CodecError) as caught:
            codec.open("e1", "payload", wrong)
        assert "Ana" not in str(caught.value)


def test_a_text_opens_with_any_key_at_hand_and_with_no_other():
    """The newest key seals, the older still opens; without it the error names the key that is missing."""
    stored = SealingCodec([OLD]).seal("e1", "payload", PERSON)
    both = SealingCodec([NEW, OLD])
    assert both.open("e1", "payload", stored) == PERSON
    assert key_of(both.seal("e1", "payload", PERSON)) == key_id(NEW)
    with pytest.raises(KeyMissing, match=key_id(OLD)):
        SealingCodec([NEW]).open("e1", "payload", stored)
    with pytest.raises(KeyMissing, match="PAYLOAD_KEYS"):
        PlainCodec().open("e1", "payload", stored)


def test_rewrapping_changes_the_key_and_nothing_else():
    """After it the old key is not needed, and copies are equal; text that needs nothing stays as it is."""
    both = SealingCodec([NEW, OLD])
    stored = SealingCodec([OLD]).seal("e1", "payload", PERSON)
    again = both.rewrapped(stored)
    assert SealingCodec([NEW]).open("e1", "payload", again) == PERSON
    assert both.rewrapped(again) == again
    assert both.rewrapped(stored) == again
    assert both.rewrapped(PERSON) == PERSON


def test_text_from_before_there_were_keys_opens_as_it_is():
    """Keys can be set on a system that runs in clear."""
    assert SealingCodec([NEW]).open("e1", "payload", PERSON) == PERSON
    assert not SealingCodec([NEW]).seal("e1", "message", "")


def test_the_settings_decide(tmp_path):
    """Without keys everything is in clear; with them, also from a file with one a line, it is sealed."""
    assert isinstance(codec_of(load_settings("cli", {})), PlainCodec)
    (tmp_path / "keys").write_text(text_of(NEW) + "\n" + text_of(OLD) + "\n")
    made = codec_of(load_settings("cli", {"PAYLOAD_KEYS_FILE": str(tmp_path / "keys")}))
    assert isinstance(made, SealingCodec)
    assert made.key_ids == (key_id(NEW), key_id(OLD))


@pytest.mark.parametrize(
    "wrong",
    [
        text_of(bytes(range(16))),
        text_of(NEW) + "," + text_of(bytes(range(31))),
        text_of(NEW, NEW),
        "correct horse battery staple",
        NEW.hex(),
    ],
)
def test_a_wrong_key_names_the_setting_and_is_not_quoted(wrong):
    """Short, doubled or not base64: the process does not start, and the error holds no part of a key."""
    with pytest.raises(SettingsError, match="PAYLOAD_KEYS") as caught:
        load_settings("cli", {"PAYLOAD_KEYS": wrong})
    assert not any(part in str(caught.value) for part in wrong.replace(",", " ").split())
