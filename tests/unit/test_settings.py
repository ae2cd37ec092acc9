"""Settings: typed, checked together, and a wrong one names itself."""

import pytest

from ops.settings import Settings, load_settings, rate_interval_s
from schema.errors import SettingsError

DOOR = {"C2S_WEBHOOK_SECRET": "s"}


def test_defaults_are_those_of_the_design():
    """A door with nothing but its secret has the documented defaults."""
    settings = load_settings("ingress", DOOR)
    assert (settings.port, settings.max_attempts, settings.stream_partitions) == (8080, 8, 1)
    assert settings.c2s_rate_limit == "10/minute"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "C2S_WEBHOOK_SECRET"),
        ({**DOOR, "PORT": "abc"}, "PORT"),
        ({**DOOR, "C2S_RATE_LIMIT": "ten"}, "C2S_RATE_LIMIT"),
        ({**DOOR, "LEASE_TTL_SECS": "10"}, "LEASE_TTL_SECS"),
        ({**DOOR, "RECLAIM_IDLE_SECS": "5"}, "RECLAIM_IDLE_SECS"),
        ({**DOOR, "C2S_MESSAGE_PATH": "/x"}, "C2S_MESSAGE_PATH"),
        ({**DOOR, "C2S_TOKEN_FILE": "/nowhere/at/all"}, "C2S_TOKEN_FILE"),
        ({**DOOR, "C2S_WEBHOOK_SECRET_FILE": "/dev/null"}, "C2S_WEBHOOK_SECRET"),
    ],
)
def test_a_wrong_setting_names_itself(environ, named):
    """Missing, malformed, contradictory or unreadable: the error says which."""
    with pytest.raises(SettingsError, match=named):
        load_settings("ingress", environ)


def test_the_processor_needs_its_credentials():
    """All missing credentials are named at once."""
    with pytest.raises(SettingsError, match=r"(?s)C2S_TOKEN.*DIRETRIX_USER.*DIRETRIX_PASS.*WORK_API_KEY"):
        load_settings("processor", {})


def test_a_secret_may_come_from_a_file(tmp_path):
    """NAME_FILE is read, its one trailing newline dropped, and no secret shows in a repr."""
    (tmp_path / "s").write_text("top-secret\n")
    settings = load_settings("ingress", {"C2S_WEBHOOK_SECRET_FILE": str(tmp_path / "s")})
    assert settings.c2s_webhook_secret.get_secret_value() == "top-secret"
    assert "top-secret" not in repr(settings)


def test_a_wrong_secret_value_is_not_quoted():
    """The error of a malformed setting does not show what was given."""
    with pytest.raises(SettingsError) as caught:
        load_settings("ingress", {**DOOR, "PORT": "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", [*Settings.model_fields, *(f"{n}_file" for n in Settings.model_fields)])
@pytest.mark.parametrize("role", ["ingress", "processor"])
def test_what_stands_in_the_wrong_place_is_not_quoted(name, role):
    """A secret, a URL with a password, a person: whatever a setting is given, its error does not show it."""
    for value in ("hunter2 zumira@example.com", "http://zumira:hunt/er2@h", "redis://zumira@[hunter2]/0"):
        said = ""
        try:
            load_settings(role, {**DOOR, name.upper(): value})
        except SettingsError as error:
            said = str(error)
        assert [part for part in (value, "hunt", "zumira") if part in said] == []


@pytest.mark.parametrize("url", ["redis://:pa/ss@h:6379/0", "redis://:p@h:port/0", "redis://:p@[h/0"])
@pytest.mark.parametrize("name", ["REDIS_URL", "DATABASE_URL", "SMTP_URL", "FORWARD_URL", "C2S_BASE_URL"])
def test_a_password_that_is_not_escaped_in_a_url_is_explained(name, url):
    """The drivers' own errors came later, as tracebacks that showed a part of it."""
    with pytest.raises(SettingsError, match=f"{name}: is no URL: .* in a password / .* written as %2F"):
        load_settings("cli", {name: url})


@pytest.mark.parametrize(
    ("rate", "seconds"), [("10/minute", 6.0), ("2/second", 0.5), ("60/hour", 60.0), ("", 0.0)]
)
def test_rates_are_intervals(rate, seconds):
    """A rate text is seconds between calls; empty means no limit."""
    assert rate_interval_s(rate) == seconds


def test_a_given_environment_is_the_only_one(monkeypatch):
    """What the process's own environment says does not leak into a mapping that was handed in."""
    monkeypatch.setenv("MAX_ATTEMPTS", "3")
    assert load_settings("ingress", DOOR).max_attempts == 8
    assert load_settings("ingress", {**DOOR, "MAX_ATTEMPTS": "5"}).max_attempts == 5


def test_eco_blocks_longer_but_not_against_an_explicit_setting():
    """A Redis billed per command is asked every five minutes; who sets the time himself gets it."""
    assert load_settings("cli", {}).block_secs == 60
    assert load_settings("cli", {"ECO": "true"}).block_secs == 300
    assert load_settings("cli", {"ECO": "true", "BLOCK_SECS": "90"}).block_secs == 90
