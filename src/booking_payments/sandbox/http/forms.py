"""Form bodies and query strings with nested names: ``a=1``, ``a[b][c]=1``, ``a[]=x``, ``a[0]=x``, ``a[][b]=x``.

Everything that two readers could understand differently is refused, and so is what only an attack would send.
"""

import re
from typing import Any, Final
from urllib.parse import parse_qsl

MAX_FIELDS: Final = 1000
MAX_DEPTH: Final = 10
MAX_NAME: Final = 500
"""Our own limits; the largest honest request has about a tenth of each."""

_NAME: Final = re.compile(r"(?P<first>[^\[\]]+)(?P<rest>(?:\[[^\[\]]*\])*)")
_STEP: Final = re.compile(r"\[([^\[\]]*)\]")
_INDEX: Final = re.compile(r"[0-9]{1,4}", re.ASCII)

MAPPINGS: Final = frozenset({"metadata"})
"""Parameters whose names are the caller's own: numbers there are names, not positions."""


class BadForm(ValueError):  # noqa: N818 - a form that is refused, not a failure of ours
    """The text is no form that has one meaning; the message is fit for the caller."""


def decode(text: str) -> dict[str, Any]:
    """Nested mappings and lists of text. Raises ``BadForm``."""
    tree: dict[str, Any] = {}
    for name, value in _pairs(text):
        _put(tree, _steps(name), value, name)
    return {name: _with_lists(name, value) for name, value in tree.items()}


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        raise BadForm("Invalid form: the text is not valid UTF-8.") from None
    except ValueError:
        raise BadForm(f"Invalid form: more than {MAX_FIELDS} parameters.") from None


def _steps(name: str) -> list[str]:
    match = _NAME.fullmatch(name) if len(name) <= MAX_NAME else None
    if match is None:
        raise BadForm(f"Invalid form: the parameter name {name[:60]!r} is malformed.")
    steps = [match["first"], *_STEP.findall(match["rest"])]
    if len(steps) > MAX_DEPTH:
        raise BadForm(f"Invalid form: parameters can be nested at most {MAX_DEPTH} levels deep.")
    return steps


def _put(tree: dict[str, Any], steps: list[str], value: str, name: str) -> None:
    """Lists are mappings by position until all is read; an empty step is the next position."""
    here = tree
    for depth, step in enumerate(steps[:-1]):
        here = _inside(here, _position(here, step, steps[depth + 1 :]), name)
    last = _position(here, steps[-1], [])
    if last in here:
        raise BadForm(f"Invalid form: the parameter {name[:60]!r} is given twice, or as two different things.")
    here[last] = value


def _position(here: dict[str, Any], step: str, rest: list[str]) -> str:
    """Where ``step`` leads. In ``a[][b]=1&a[][c]=2`` both belong to one entry, until a name comes again."""
    if step:
        return step
    newest = here.get(str(len(here) - 1))
    return str(len(here) - 1) if rest and isinstance(newest, dict) and rest[0] not in newest else str(len(here))


def _inside(here: dict[str, Any], step: str, name: str) -> dict[str, Any]:
    child = here.setdefault(step, {})
    if not isinstance(child, dict):
        raise BadForm(f"Invalid form: the parameter {name[:60]!r} is given as two different things.")
    return child


def _with_lists(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inside = {step: _with_lists(step, child) for step, child in value.items()}
    if name in MAPPINGS or not all(_INDEX.fullmatch(step) for step in inside):
        return inside
    return [inside[step] for step in sorted(inside, key=int)]
