"""The Lua scripts: each multi-key step of the protocol is one of them, whole or not at all.

This module loads their text; `schema.calls` builds their arguments and reads their replies. Commands used
exist in Redis 6.2.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

ScriptName = Literal[
    "append",
    "enter",
    "elsewhere",
    "renew",
    "record",
    "finish",
    "tick",
    "replay",
    "sweep",
    "outside",
    "trim",
    "rewrap",
    "survey",
    "depth",
    "erase",
]


@dataclass(frozen=True, slots=True)
class Script:
    """A script's source, with the prelude in front, and the SHA-1 that EVALSHA names it by."""

    name: str
    source: str
    sha1: str


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One call, ready to be sent: all keys share a hash slot."""

    script: Script
    keys: list[str]
    args: list[str]


@cache
def script(name: ScriptName) -> Script:
    """The script of that name, read once per process."""
    folder = files("schema") / "lua"
    prelude = (folder / "_prelude.lua").read_text(encoding="utf-8")
    source = prelude + (folder / f"{name}.lua").read_text(encoding="utf-8")
    return Script(name, source, hashlib.sha1(source.encode()).hexdigest())  # noqa: S324 -- Redis's naming
