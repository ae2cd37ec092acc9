"""What the code logs, read from its syntax trees: names, levels and fields of all log lines."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("schema", "ops", "ingress", "processor", "projections")
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
LOGGERS = ("log", "bound")
BOUND = ("event_id", "lead_id", "attempt")  # what `bound` carries, and `Work.names()`
EVENT = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


@dataclass
class Said:
    """A log event as the code says it, wherever it does."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def said_by_the_code() -> dict[str, Said]:
    """Every event of the five packages; fails on a log call whose name cannot be told from the code."""
    found: dict[str, Said] = {}
    for path in _modules():
        tree = _tree(path)
        for call in _log_calls(tree):
            names = _names(call.args[0], tree)
            assert names, f"{path}:{call.lineno}: which event is this?"
            for name in names:
                assert EVENT.fullmatch(name), f"{path}:{call.lineno}: {name!r} is no short dotted name"
                said = found.setdefault(name, Said())
                said.levels.add(LEVELS[_attribute(call).attr])
                said.fields.update(k.arg for k in call.keywords if k.arg)
                if _logger(call) == "bound" or _spreads_names(call):
                    said.fields.update(BOUND)
    return found


def _modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _attribute(call: ast.Call) -> ast.Attribute:
    assert isinstance(call.func, ast.Attribute)
    return call.func


def _logger(call: ast.Call) -> str:
    value = _attribute(call).value
    return value.id if isinstance(value, ast.Name) else ""


def _log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if called and _attribute(node).attr in LEVELS and _logger(node) in LOGGERS:
            yield node


def _spreads_names(call: ast.Call) -> bool:
    """Whether it passes ``**work.names()``; nothing else may be spread: nobody could tell what it says."""
    spread = [ast.unparse(k.value) for k in call.keywords if k.arg is None]
    assert set(spread) <= {"work.names()"}, f"line {call.lineno}: what does {spread} say?"
    return bool(spread)


def _names(first: ast.expr, tree: ast.Module) -> set[str]:  # noqa: PLR0911 -- one for each form
    """The names that an expression may give."""
    match first:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=one, orelse=other):
            return _names(one, tree) | _names(other, tree)
        case ast.Name(id=name):  # a variable: what the module assigns to it
            return _assigned(name, tree)
        case ast.Subscript(value=ast.Name(id=table)):
            return _assigned(table, tree)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="get"), args=[_, default]):
            return _assigned(table, tree) | _names(default, tree)
        case ast.Dict(values=values):
            return {name for value in values for name in _names(value, tree)}
        case ast.Attribute(attr="event"):  # a refusal's: told where it is raised
            return {name for path in _modules() if path.parent.name == "ingress" for name in _events(path)}
    return set()


def _assigned(variable: str, tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == variable for target in node.targets
        ):
            found |= _names(node.value, tree)
    return found


def _events(path: Path) -> set[str]:
    """Events of refusals in a module: values of arguments and parameters called ``event``."""
    found: set[str] = set()
    tree = _tree(path)
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                values = [k.value for k in node.keywords if k.arg == "event"]
                if isinstance(node.func, ast.Name) and node.func.id == "unavailable":
                    values += node.args[1:2]
            case ast.FunctionDef(args=a):
                named = [
                    *zip(reversed(a.args), reversed(a.defaults), strict=False),
                    *zip(a.kwonlyargs, a.kw_defaults, strict=True),
                ]
                values = [value for arg, value in named if arg.arg == "event" and value is not None]
            case _:
                continue
        for value in values:
            found |= _names(value, tree) if isinstance(value, ast.Constant | ast.IfExp) else set()
    return found
