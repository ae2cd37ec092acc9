"""Every command of the CLI, as typer knows it, and for each one a way to call it."""

from typing import Any

import typer

from ops.cli.app import app

# Commands that run until they are stopped are called by tests of their own.
ENDLESS = {"up", "run", "ingress", "processor", "projector", "events tail"}
CALLS: dict[str, tuple[str, ...]] = {
    "alerts check": (),
    "alerts list": (),
    "completion": ("bash",),
    "dead discard": ("--yes",),
    "dead list": (),
    "dead replay": ("--yes",),
    "dead show": ("8fe3a3a2-0000-5000-8000-000000000000",),
    "doctor": (),
    "events list": (),
    "events show": ("L-1",),
    "forwards": (),
    "forwards retry": (),
    "keys new": (),
    "keys rotate": (),
    "keys status": (),
    "migrate": (),
    "partitions": (),
    "partitions clear": (),
    "rebuild": ("--check",),
    "reconcile": ("--check",),
    "recover": (),
    "secret rotate": ("hmac",),
    "send": ("L-1",),
    "stats": (),
    "subject erase": ("--lead", "L-1", "--reason", "asked", "--yes"),
    "subject export": ("--lead", "L-1", "--reason", "asked"),
    "subject reapply": (),
    "subject show": ("--lead", "L-1", "--reason", "asked"),
    "subscribe": ("--url", "https://door.example.com/api/v1/webhook/leads", "--yes"),
    "top": ("--once",),
    "unsubscribe": ("--yes",),
}


def tree() -> dict[str, Any]:
    """All commands by their whole name; groups that do something of their own included."""
    found: dict[str, Any] = {}

    def walk(command: Any, name: str) -> None:
        children = getattr(command, "commands", None)  # a group's; typer may bring a click of its own
        if children is not None:
            if name and command.invoke_without_command:
                found[name] = command
            for part, child in children.items():
                walk(child, f"{name} {part}".strip())
        else:
            found[name] = command

    walk(typer.main.get_command(app), "")
    return found


def options_of(command: Any) -> set[str]:
    """Every option a command takes."""
    named = {word for p in command.params for word in (*p.opts, *p.secondary_opts) if word.startswith("-")}
    return named | {"--help", "-h"}
