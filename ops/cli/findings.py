"""How `c2s doctor` tells what it found: a table, then what is not well, one by one."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from ops.cli.output import STYLES, console, print_table, printable
from ops.findings import Finding


def print_findings(findings: Sequence[Finding]) -> None:
    """Everything in short; then of each that is not well what it is, why it matters and what to do."""
    print_table([asdict(finding) for finding in findings], columns=("level", "check", "found"))
    out = console()
    for finding in findings:
        if finding.level == "ok":
            continue
        out.print()
        out.print(
            Text(f"{finding.level}  {finding.check}: {printable(finding.found)}", STYLES[finding.level])
        )
        for label, words in (("why", finding.why), ("do", finding.remedy)):
            if words:
                out.print(Text.assemble((f"  {label:<4}", "bold"), printable(words)), soft_wrap=True)
    bad = sum(finding.level == "FAIL" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    out.print()
    out.print(Text(f"{bad} wrong, {warned} to look at, {len(findings) - bad - warned} well", "bold"))
