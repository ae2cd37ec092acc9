"""One trace from webhook to row: the whole system as processes, and a collector that receives their spans."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from acceptance.running import ROOT, Up, clean_environment
from support_otlp import Collected, Collector, collector

from ops.sandbox.webhooks import signature, webhook_body

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
LEAD = "trace-1"


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, Collector]]:
    """The system and its collector, after one webhook with a trace of its own went from door to row."""
    with collector() as received:
        env = {
            "C2S_RATE_LIMIT": "0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        with Up(tmp_path_factory.mktemp("up"), "--port", "0", "--no-traffic", env=env) as up:
            up.until_ready()
            post(up)
            up.eventually(lambda: names(received.of(TRACE)), lambda seen: seen.count("project") >= 2)
            yield up, received


def post(up: Up) -> None:
    """A signed webhook that names the trace it belongs to."""
    body = webhook_body(LEAD, "on_create_lead", "data", datetime.now(UTC))
    signed = signature(body, up.note["webhook_secret"])
    headers = {"X-C2S-Signature": signed, "traceparent": f"00-{TRACE}-{PARENT}-01"}
    url = f"{up.note['ingress_url']}/api/v1/webhook/leads"
    request = urllib.request.Request(url, body, headers | {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 -- our own loopback URL
        assert json.loads(answer.read())["status"] == "accepted"


def names(spans: list[Collected]) -> list[str]:
    return [span.name for span in spans]


def test_one_trace_shows_the_whole_way_of_a_webhook(traced):
    """Accept, claim, each step, each outside call, finish and projection are spans of the caller's trace."""
    up, received = traced
    spans = received.of(TRACE)
    seen = set(names(spans))
    assert {"accept", "claim", "attempt", "finish", "project"} <= seen
    assert {f"step.{s}" for s in ("record", "lead", "people", "profiles", "message", "send")} <= seen
    calls = up.sandbox()["calls"]
    for call in ("diretrix.phone", "work.cpf", "c2s.create_message"):
        traced_calls = [name for name in names(spans) if name.startswith(call.split(".")[0] + ".")]
        assert traced_calls, (call, calls)
    assert len([n for n in names(spans) if n.startswith(("c2s.", "diretrix.", "work."))]) == sum(
        calls.values()
    )
    services = {span.name: span.service for span in spans}
    assert services["accept"] == "c2s-ingress"
    assert services["attempt"] == services["c2s.create_message"] == "c2s-processor"
    assert services["project"] == "c2s-projector"


def test_the_spans_hang_together(traced):
    """The caller's span is the parent of accept, accept of what other processes do, a step of its calls."""
    _, received = traced
    spans = received.of(TRACE)
    by_name = {span.name: span for span in spans}
    accept = by_name["accept"]
    assert accept.parent_id == PARENT
    for name in ("claim", "attempt", "finish"):
        assert by_name[name].parent_id == accept.span_id
    assert {s.parent_id for s in spans if s.name == "project"} == {accept.span_id}
    assert by_name["step.send"].parent_id == by_name["attempt"].span_id
    assert by_name["c2s.create_message"].parent_id == by_name["step.send"].span_id
    assert all(span.start_ns <= span.end_ns for span in spans)
    kinds = {span.attributes["type"] for span in spans if span.name == "project"}
    assert kinds == {"webhook_accepted", "lead_processed"}


def test_a_trace_leads_to_its_row(traced):
    """The event id of a span is the row's id, and the archive has the trace."""
    up, received = traced
    (event_id,) = {s.attributes["event_id"] for s in received.of(TRACE) if s.name == "attempt"}
    row = up.psql(f"SELECT status FROM webhook_events WHERE id = '{event_id}'")  # noqa: S608 -- our own id
    assert row == "success"
    archived = up.psql(f"SELECT count(*) FROM event_log WHERE fields->>'traceparent' LIKE '00-{TRACE}-%'")  # noqa: S608
    assert int(archived) == 2


def test_no_span_carries_personal_data(traced):
    """No phone, e-mail, CPF, name, message, URL or secret is in anything that was sent to the collector."""
    up, received = traced
    sent = b"".join(received.raw)
    customer = json.loads(webhook_body(LEAD, "on_create_lead", "data", datetime.now(UTC)))["data"][
        "attributes"
    ]
    customer = customer["customer"]
    texts = [str(v) for v in customer.values() if isinstance(v, str) and len(v) > 5]
    found = [
        person for person in up.psql("SELECT cpf, name FROM people").replace("\n", "|").split("|") if person
    ]
    messages = up.messages(LEAD)
    assert texts
    assert found
    assert messages
    for text in [*texts, *found, *messages, up.note["webhook_secret"], up.note["sandbox_url"]]:
        assert text.encode() not in sent, text


def test_without_a_collector_nothing_of_opentelemetry_is_imported():
    """Traces that are off cost nothing: no service imports what makes or sends spans.

    (Where the library is installed, redis-py imports some of it for metrics of its own.)
    """
    code = (
        "import sys, ingress.app, processor.service, projections.service\n"
        "from ops import traces\n"
        "from ops.settings import load_settings\n"
        "traces.set_up(load_settings('cli'), 'ingress')\n"
        "with traces.span('accept') as made: assert made.traceparent == ''\n"
        "ours = ('ops.traces_otel', 'opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "print([m for m in sys.modules if m.startswith(ours)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(ROOT),
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
