"""How `c2s events show` tells a story."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.cli.output import STYLES, cell, printable, shown
from ops.inspect import Stories, Story
from ops.telling import hidden_message, message_of, was_sent
from ops.words import details_of, status_of, words_of
from schema.codec import PayloadCodec
from schema.events import WebhookAccepted


def show(stories: Stories, codec: PayloadCodec, out: Console, *, reveal: bool) -> None:
    """Each event: what it is, what happened when, and the message (personal data) if it is revealed."""
    for number, story in enumerate(stories.stories):
        if number:
            out.print()
        _head(story, out)
        out.print(_timeline(story))
        if story.steps:
            out.print(Text(f"finished steps so far: {', '.join(story.steps)}"))
        message = message_of(story, codec) if reveal else hidden_message(story)
        if message:
            title = "message on the lead:" if was_sent(story) else "message prepared, not sent (DRY_RUN):"
            out.print(Text(f"\n{title}" + ("" if reveal else " (--reveal shows it)"), "bold"))
            out.print(
                Text("\n".join(f"  {line}" for line in printable(message).splitlines())), soft_wrap=True
            )
    for note in stories.notes:
        out.print(Text(f"note: {note}", "yellow"))


def _head(story: Story, out: Console) -> None:
    row = story.row or {}
    known = story.facts[0].event if story.facts else None
    lead = row.get("lead_id") or (known.lead_id if known else "-")
    action = row.get("hook_action") or (known.action if known else "-")
    status = row.get("status") or (status_of(story.facts[-1].event) if story.facts else "-")
    line = Text.assemble(
        ("event ", "bold"),
        (story.event_id, "bold"),
        f"  lead {lead}  {action}  ",
        (status, STYLES.get(status, "")),
    )
    if row.get("result"):
        line.append(f" ({row['result']})")
    out.print(line, soft_wrap=True)
    pairs = [(name, row.get(name)) for name in ("attempt", "retry_count", "duplicate_count", "retry_at")]
    words = [f"{name.replace('_', ' ')} {shown(value)}" for name, value in pairs if value]
    if row.get("error_message"):
        words.append(f"last error: {printable(str(row['error_message']))}")
    if words:
        out.print(Text(", ".join(words), "dim"), soft_wrap=True)


def _timeline(story: Story) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold dim")
    for name in ("time", "after", "what", "by", "details"):
        table.add_column(name, justify="right" if name == "after" else "left", overflow="fold")
    start = story.facts[0].event.received_at if story.facts else None
    for fact in story.facts:
        event = fact.event
        at = event.received_at if isinstance(event, WebhookAccepted) else event.at
        after = f"+{max(0.0, (at - start).total_seconds()):.3f} s" if at and start else ""
        what = event.type.replace("_", " ") + ("" if fact.recorded else " *")
        words = "; ".join(part for part in (words_of(event), details_of(event)) if part)
        by = "" if isinstance(event, WebhookAccepted) else event.instance
        when = f"{at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3] if at else ""
        table.add_row(when, after, what, cell(by or "-"), Text(printable(words)))
    if any(not fact.recorded for fact in story.facts):
        table.caption = "* in Redis only, not recorded yet"
        table.caption_justify = "left"
    return table
