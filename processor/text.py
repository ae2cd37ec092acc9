"""Texts from outside, made safe for one line of a message, a log or a page."""

import re
import unicodedata

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?", re.DOTALL)
# Control, format (bidi overrides, zero width), surrogates, unassigned, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SCANNED_PER_CHAR = 4


def clean(text: str, max_chars: int) -> str:
    """``text`` on one line of at most ``max_chars`` characters.

    Escape sequences, control and invisible characters become spaces; runs of spaces become one.
    """
    # A 40 MB text is cut before it is scanned, with room for what the cleaning takes away.
    head = _ANSI.sub(" ", text[: max_chars * _SCANNED_PER_CHAR])
    safe = "".join(" " if unicodedata.category(char) in _UNSAFE else char for char in head)
    return " ".join(safe.split())[:max_chars].rstrip()
