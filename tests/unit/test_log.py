"""Log lines: written together within a turn of the loop, at once where it matters, in order always."""

import asyncio
import io

import orjson
import structlog

from ops.log import LineWriter, setup_logs


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
