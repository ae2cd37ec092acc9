"""`c2s completion`: the shell's part of completing commands, printed wherever it is asked for.

`--install-completion` asks the process's parents which shell they are. In an image's build, a script or a
service manager none of them is one; here the shell is named instead.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # used there, defined in a private one

EXAMPLE = "Example: [bold]c2s completion bash > /etc/bash_completion.d/c2s[/]"


class Shell(StrEnum):
    """The shells that can ask c2s."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def usual_shell(path: str) -> Shell:
    """The shell that a login starts, by its path; bash where that is none of ours."""
    name = Path(path).name
    return Shell(name) if name in set(Shell) else Shell.BASH


def completion(
    shell: Annotated[Shell | None, typer.Argument(help="That of SHELL if not named.")] = None,
    login_shell: Annotated[str, typer.Option(envvar="SHELL", hidden=True)] = "",
) -> None:
    """Print what makes a shell complete commands and options of c2s."""
    chosen = shell or usual_shell(login_shell)
    print(get_completion_script(prog_name="c2s", complete_var="_C2S_COMPLETE", shell=chosen.value))
