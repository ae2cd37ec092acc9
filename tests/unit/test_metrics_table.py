"""docs/metrics.md, the dashboard and the rules name the metrics that the processes serve."""

import json
import re

import pytest
import yaml
from prometheus_client import Counter
from support_logs import ROOT
from support_metrics import all_metrics, made_by

from ops.metrics import exposition, new_registry
from processor.meters import status_of

ROW = re.compile(
    r"\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[^|]+) \| (?P<process>\w+) \| (?P<meaning>[^|]+) \|"
)
UNITS = {"histogram": ("_seconds", "_entries", "_bytes"), "counter": ("_total",)}
GRAFANA = ROOT / "ops" / "grafana"


def told(process: str) -> dict[str, tuple[str, frozenset[str]]]:
    lines = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines()
    rows = [ROW.fullmatch(line) for line in lines if line.startswith("| `")]
    assert all(rows), "a row of docs/metrics.md is malformed"
    return {
        row["name"]: (row["type"], frozenset(re.findall(r"`(\w+)`", row["labels"])))
        for row in rows
        if row and row["process"] == process
    }


@pytest.mark.parametrize("process", ["ingress", "processor", "projector"])
def test_the_table_is_what_a_process_serves(process):
    """Names, types and labels agree, both ways."""
    assert told(process) == made_by(process)


def test_a_scrape_holds_nothing_that_the_table_does_not_tell():
    """Not even the library's own series of when each counter began."""
    registry = new_registry()
    Counter("c2s_things", "Things.", registry=registry).inc()
    lines = exposition(registry).decode().splitlines()
    assert [line.split()[0] for line in lines if line.startswith("c2s_")] == ["c2s_things_total"]


def test_names_tell_their_unit():
    """A counter ends in _total, a histogram in its unit."""
    for name, (kind, _) in all_metrics().items():
        assert name.startswith("c2s_")
        assert name.endswith(UNITS.get(kind, ("",))), name


@pytest.mark.parametrize("label", ["lead_id", "event_id", "instance", "error", "url"])
def test_no_label_grows_without_bound(label):
    """Labels take few values: none is an id or a text from outside."""
    assert all(label not in labels for _, labels in all_metrics().values())


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("ok", "ok"),
        ("cancelled", "cancelled"),
        ("c2s_throttled", "429"),
        ("c2s_unauthorized", "refused"),
        ("c2s_http_503", "5xx"),
        ("c2s_http_302", "3xx"),
        ("c2s_http_418", "4xx"),
        ("lead_gone", "4xx"),
        ("c2s_not_found", "4xx"),
        ("c2s_timeout", "no_answer"),
        ("c2s_refused", "not_sent"),
        ("c2s_too_large", "malformed"),
    ],
)
def test_a_calls_end_has_one_of_few_labels(outcome, status):
    """Whatever came back, the label says which kind of answer it was."""
    assert status_of("c2s", outcome) == status


def expressions(found: object) -> list[str]:
    """Every PromQL text below ``expr`` in parsed JSON or YAML."""
    if isinstance(found, dict):
        own = [found["expr"]] if isinstance(found.get("expr"), str) else []
        return own + [e for value in found.values() for e in expressions(value)]
    if isinstance(found, list):
        return [e for value in found for e in expressions(value)]
    return []


@pytest.mark.parametrize("name", ["dashboard.json", "alerts.yml"])
def test_dashboard_and_rules_ask_for_metrics_that_exist(name):
    """They parse, and every metric they name is one that a process serves, with the labels they use."""
    text = (GRAFANA / name).read_text(encoding="utf-8")
    parsed = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    found = expressions(parsed)
    assert len(found) > 8
    served = all_metrics()
    for expression in found:
        named = re.findall(r"\bc2s_\w+", expression)
        assert named, expression
        for metric in named:
            base = re.sub(r"_(bucket|sum|count)$", "", metric)
            known = metric if metric in served else base
            assert known in served, metric
            assert (served[known][0] == "histogram") == (known != metric), metric
        labels = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|=|!=)", expression))
        for by in re.findall(r"\bby\s*\(([^)]*)\)", expression):
            labels |= {label.strip() for label in by.split(",")}
        given = {
            label
            for m in named
            for label in served.get(m, served.get(re.sub(r"_(bucket|sum|count)$", "", m)))[1]
        }
        assert labels <= given | {"le", "job", "instance"}, expression


def test_each_rule_says_what_to_do():
    """A rule has a name of its own, a severity, a summary and a description."""
    parsed = yaml.safe_load((GRAFANA / "alerts.yml").read_text(encoding="utf-8"))
    rules = [rule for group in parsed["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
