"""What `c2s up` shows: its own progress, a line per lead, and what to try next."""

import shlex
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ops.dev.ready import Ready
from ops.supervise.supervisor import ServiceEvent, ServiceExited
from ops.words import DUPLICATE, status_of, took, words_of
from schema.events import Event, LeadDeadLettered, LeadProcessed, ProcessingStarted, WebhookAccepted

_STYLES = {"success": "green", "failed": "bold red", "processing": "yellow", DUPLICATE: "dim"}
_LEADS_BEFORE_ADVICE = 3


def local_now() -> datetime:
    """The time on this machine's wall."""
    return datetime.now(UTC).astimezone()


class Screen:
    """Prints; used from one event loop.

    Args:
        console: where to.
        advice: the three things to try next, shown after the first leads.
        now: the time shown on each line, aware.
    """

    def __init__(self, console: Console, advice: "Advice", now: Callable[[], datetime] = local_now) -> None:
        self._console = console
        self._advice = advice
        self._now = now
        self._ended_leads = 0
        self._errors_shown: set[str] = set()
        self.leaving = False

    def say(self, words: str, style: str = "") -> None:
        """One line with the time."""
        self._line(Text(words, style))

    def ready(self, ready: Ready, *, traffic: bool) -> None:
        """Where everything is; the advice at once where no sample leads will come."""
        rows = (
            ("console", ready.admin_token and f"{ready.ingress_url}/console"),
            ("token", ready.admin_token),
            ("webhooks", ready.webhook_url),
            ("sandbox", ready.sandbox_url and f"{ready.sandbox_url}/_sandbox/state"),
            ("redis", ready.redis_url),
            ("postgres", ready.database_url),
            ("logs", ready.log_dir),
        )
        self.say("Ready. Ctrl-C stops everything.", "bold green")
        for name, value in rows:
            if value:
                self._console.print(Text(f"  {name:<10}{value}"), soft_wrap=True)
        if not traffic:
            self._give_advice()

    def outcome(self, event: Event) -> None:
        """The line of one outcome; an attempt's start shows nothing, its end does."""
        if isinstance(event, WebhookAccepted | ProcessingStarted):
            return
        status = status_of(event)
        line = Text()
        line.append(f"{event.lead_id:<28} {event.action:<16} ")
        line.append(f"{status:<10}", _STYLES.get(status, ""))
        line.append(f" {took(event):>8}  {words_of(event)}")
        if event.instance and event.fence:
            line.append(f"  by {event.instance}", "dim")
        self._line(line)
        if isinstance(event, LeadProcessed | LeadDeadLettered):
            self._ended_leads += 1
            if self._ended_leads == _LEADS_BEFORE_ADVICE:
                self._give_advice()

    def service(self, event: ServiceEvent) -> None:
        """A service died or came back."""
        if self.leaving:
            return
        if isinstance(event, ServiceExited):
            how = f"by signal {-event.exit_code}" if event.exit_code < 0 else f"with code {event.exit_code}"
            self.say(f"{event.name} (process {event.pid}) ended {how}", "yellow")
        elif event.restarts:
            self.say(f"{event.name} runs again as process {event.pid}", "yellow")

    def trouble(self, name: str, what: str) -> None:
        """Something a service reports; shown once, its log has the rest."""
        if what not in self._errors_shown:
            self._errors_shown.add(what)
            self.say(f"{name}: {what}", "red")

    def _give_advice(self) -> None:
        self._console.print()
        self._console.print(Text("  Three things to try next, in another shell:", "bold"))
        for what, command in self._advice.commands():
            self._console.print(Text(f"    {what:<15}{command}"), soft_wrap=True)
        self._console.print()

    def _line(self, words: Text) -> None:
        stamp = Text(f"{self._now():%H:%M:%S}  ", "dim")
        # Output that is not a terminal must not be cut at a width nobody has.
        self._console.print(stamp + words, soft_wrap=True, highlight=False)


class Advice:
    """Commands that work from another shell in the present directory.

    Args:
        data_dir: as the user named it.
        default_data_dir: what the CLI looks at by itself.
    """

    def __init__(self, data_dir: Path, default_data_dir: Path) -> None:
        self._option = "" if data_dir == default_data_dir else f" --data-dir {shlex.quote(str(data_dir))}"

    def commands(self) -> list[tuple[str, str]]:
        c2s = f"{shlex.quote(program())}"
        return [
            ("send one", f"{c2s} send my-first-lead{self._option}"),
            ("see its story", f"{c2s} events show my-first-lead{self._option}"),
            ("watch it all", f"{c2s} top{self._option}"),
        ]


def program() -> str:
    """How to call the CLI from a shell in the present directory: `c2s`, if that finds this very one."""
    own = Path(sys.executable).absolute().with_name("c2s")
    found = shutil.which("c2s")
    if found is not None and (not own.exists() or Path(found).samefile(own)):
        return "c2s"
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)
