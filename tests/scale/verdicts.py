"""What must hold of the figures of ``make scale``, and whether it does."""

from collections.abc import Iterator
from dataclasses import dataclass

from scale.streams import Figures

ANSWERED_MS = 200
GROWTH = 1.10
OF_ALL_ROWS = frozenset({"stats_several_attempts"})  # bound by its words: it counts the rows of every lead
FACTS = 3.3  # that follow from a webhook, itself among them


@dataclass(frozen=True, slots=True)
class Verdict:
    """A demand, whether it is met, and the figure that says so."""

    demand: str
    holds: bool
    figure: str

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'DOES NOT HOLD'}: {self.demand}: {self.figure}"


def verdicts(found: Figures, per_second: int) -> Iterator[Verdict]:
    """One for each demand; ``per_second`` webhooks arrived beside the swap."""
    check = found["check"]
    pace = f"{check['entries']:,} entries, {check['entries_per_second']:,} a second"
    yield Verdict("a rebuild finds no difference", check["differences"] == 0, f"{_told(check)} in {pace}")
    entries = found["a_million"]["entries"]
    yield _answered(f"with the latest {entries:,} events on record", found["queries_ms_of_a_million"])
    whole = {name: asked for name, asked in found["queries_ms"].items() if name not in OF_ALL_ROWS}
    yield _answered("with the whole history, but for the plan's count of all its rows", whole)
    streams = found["streams"]
    needed, done = per_second * FACTS, streams["projected_per_second"]
    yield Verdict(
        f"the projector keeps up with {per_second} webhooks a second",
        done > needed,
        f"{done:,} entries a second, {needed:,.0f} come",
    )
    yield Verdict(
        "after ten times as many webhooks Redis uses at most a tenth more memory",
        streams["last_to_first"] <= GROWTH,
        f"{100 * (streams['last_to_first'] - 1):+.1f} %",
    )
    beside = found["beside_traffic"]
    swap, after = beside["swap"], beside["check_afterwards"]
    right = swap["swapped"] and not swap["differences"] and not after["differences"] and not beside["missing"]
    missing = f"{beside['missing']} of {beside['arrived']:,} missing"
    figure = f"{_told(swap)} at the swap, {_told(after)} after it; {missing}"
    yield Verdict("a swap amid traffic loses and changes nothing", right, figure)


def _answered(when: str, asked: Figures) -> Verdict:
    slowest = max(asked, key=lambda name: asked[name]["ms"])
    return Verdict(
        f"each query and view answers within {ANSWERED_MS} ms, warm, {when}",
        asked[slowest]["ms"] < ANSWERED_MS,
        f"slowest is {slowest}: {asked[slowest]['ms']} ms, {asked[slowest]['cpu_ms']} ms of CPU",
    )


def _told(report: Figures) -> str:
    return f"{report['differences']} differences"
