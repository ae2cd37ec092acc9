"""Log lines: written together within a turn of the loop, at once where it matters, in order always."""

import asyncio
import io

import orjson
import pytest
import structlog

from ops.log import LineWriter, masked, setup_logs


async def test_the_lines_of_one_turn_are_written_together():
    """Nothing is written until the loop has the word again; then everything, in order."""
    out = io.BytesIO()
    writer = LineWriter(out)
    writer.info(b"one")
    writer.info(b"two")
    assert out.getvalue() == b""
    await asyncio.sleep(0)
    assert out.getvalue() == b"one\ntwo\n"


async def test_a_warning_is_written_at_once_after_what_came_before():
    """What may explain a death is not held back, nor does it overtake."""
    out = io.BytesIO()
    writer = LineWriter(out)
    writer.info(b"calm")
    writer.warning(b"alarm")
    assert out.getvalue() == b"calm\nalarm\n"
    await asyncio.sleep(0)
    assert out.getvalue() == b"calm\nalarm\n"


async def test_writes_that_share_a_pipe_end_with_a_line():
    """Several processes may write into one pipe: each write is whole lines of at most 4 KiB, or one line."""

    class Pipe(io.BytesIO):
        def __init__(self):
            super().__init__()
            self.writes: list[bytes] = []

        def write(self, data):
            self.writes.append(bytes(data))
            return len(data)

    out = Pipe()
    writer = LineWriter(out)
    lines = [b"%d " % n + b"x" * (n * 37 % 900) for n in range(200)]
    lines[50] = b"long " + b"y" * 10_000
    for line in lines:
        writer.info(line)
    writer.flush()
    assert b"".join(out.writes) == b"".join(line + b"\n" for line in lines)
    assert all(w.endswith(b"\n") for w in out.writes)
    assert all(len(w) <= 4096 or w.count(b"\n") == 1 for w in out.writes)
    assert len(out.writes) < len(lines) / 4


def test_without_a_loop_a_line_is_written_at_once():
    """Before and after the loop there is no later turn to write in."""
    out = io.BytesIO()
    LineWriter(out).info(b"alone")
    assert out.getvalue() == b"alone\n"


def test_a_json_line_names_service_level_time_and_event(capfdbinary):
    """One JSON object per line, with what the process is and what was bound; control characters escaped."""
    before = structlog.get_config()
    try:
        setup_logs("info", "json", service="ingress", instance="i1")
        structlog.get_logger().warning("lead.gone", lead_id="L1", detail="a\nb\x1b[31m")
        (line,) = capfdbinary.readouterr().out.splitlines()
    finally:
        structlog.configure(**before)
    said = orjson.loads(line)
    assert said.pop("timestamp").endswith("+00:00")
    assert said == {
        "service": "ingress",
        "instance": "i1",
        "event": "lead.gone",
        "level": "warning",
        "lead_id": "L1",
        "detail": "a\nb\x1b[31m",
    }


@pytest.mark.parametrize(
    "text",
    [
        "ana.silva@exemplo.com.br",
        "529.982.247-25",
        "52998224725",
        "(11) 98765-4321",
        "+55 11 98765-4321",
        "5511987654321",
    ],
)
def test_what_looks_personal_is_masked_in_fields_that_nobody_foresaw(text, capfdbinary):
    """The last guard: an error that quotes a contact, also in an exception; ids stay as they are."""
    before = structlog.get_config()
    try:
        setup_logs("info", "json", service="ingress", instance="i1")
        try:
            int(f"cannot read {text}!")
        except ValueError:
            structlog.get_logger().exception(
                "work.broken",
                detail=f"of {text},",
                lead_id="L@11987654321",
                more={"asked": [text]},
                raw=text.encode(),
            )
        (line,) = capfdbinary.readouterr().out.splitlines()
    finally:
        structlog.configure(**before)
    assert text.encode() not in line
    assert orjson.loads(line)["detail"] == "of [personal],"
    assert orjson.loads(line)["lead_id"] == "L@11987654321"


@pytest.mark.parametrize(
    "text",
    ["1795581315922536-0", "8fe3a3a2-1234-5678-9012-123456789012", "2026-01-21T12:00:00Z", "127.0.0.1:65432"],
)
def test_what_is_no_contact_is_left_alone(text):
    """Stream ids, event ids, times and addresses are no phones."""
    assert masked(text) == text


def test_the_short_way_of_a_busy_line_is_the_same_line(capfdbinary):
    """Bound values, debug and info, personal data: whichever way a line takes, nothing of it is lost."""
    before = structlog.get_config()
    try:
        setup_logs("info", "json", service="ingress", instance="i1")
        log = structlog.get_logger()
        log.info("lead.seen", lead_id="L1", note="ana@example.com")
        log.bind(lead_id="L1").info("lead.seen", note="ana@example.com")
        log.debug("lead.unseen")
        one, other = (orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines())
    finally:
        structlog.configure(**before)
    assert one.pop("timestamp") <= other.pop("timestamp")
    assert one == other
    assert one["note"] == "[personal]"
    assert one["level"] == "info"
