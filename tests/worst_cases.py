"""Texts that make a careless parser slow, of any length, and how the time of a parser grows with theirs.

Time is that of the process, so other work on the machine does not count, and only ratios are judged: over three
doublings of the text a linear parser takes eight times as long, a quadratic one sixty-four times.
"""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import booking_payments
from tests.nightly import NIGHTLY
from tests.sources import parsed

SHORT: Final = 1_000 if NIGHTLY else 500
DOUBLINGS: Final = 3
MOST: Final = 3 * 2**DOUBLINGS
"""The largest ratio that counts as linear: three times the exact one, and less than half of a quadratic one."""

NEGLIGIBLE_S: Final = 0.001
"""A quadratic parser can't be through the long text by then: it would take 60 ps for a step."""

PUMPS: Final = (
    *("a", "0", "4", "\\", '"', "'", " ", "\t", "\n", "-", "_", ".", "@", ":", "/", ",", ";", "=", "&", "%", "[", "{"),
    *('"\\', '\\"', "4 ", "4-", "62 ", "4242 ", "1   ", "1-", "12345678-1234-1234-1234-", "+4", "+49 ", "1e", "a "),
    *("[]", "{}", '{"a":', '"a":', '"a",', '"4",', "1,", "[1,", "\\u0034", "\\ud800", "tru"),
    *("a@", "a@b.", "a.", ".a", "://", "://a:", "://a:b", "postgres://a:", "postgres+", "redis://:", "postgres"),
    *("eyJ", "-eyJ", "eyJaaaaaaaa.", ".eyJaaaaaaaa", "_eyJaaaaaaaa-", "pi_", "pi_a", "pi_a_secret_", "-sk_live_"),
    *("whsec_", "_secret_", "bearer ", "basic  ", "password='", "password=", "token=", "&token=", "client_secret"),
    *(
        "a=",
        "a=4&",
        "a=b;",
        '="\\',
        "%4",
        "%34",
        "%F0",
        "t=1,",
        "v1=a,",
        "v1=" + "0" * 64 + ",",
        "..",
        "/..",
        "/console",
    ),
    *("\u00e9", "\u0301\u0327", "\uff14", "\uff14 ", "\u200b", "\u2116", "\u0664", "\ufdfa", "\U0001f600"),
    *(" - at `$", "field `a", "`", "M1", "[a]", "aB", "1970-", "00:"),
)


def texts(size: int, *, plain: bool = False) -> Iterator[tuple[str, str]]:
    """The worst cases with about ``size`` characters, by name: each pump alone, and with an end that fails."""
    for pump in PUMPS:
        row = (pump * (size // len(pump) + 1))[:size]
        yield repr(pump), row
        yield f"{pump!r}, a failing end", row + "\x00!"
        if plain:
            continue
        yield f"{pump!r} in a string", f'{{"a":"{row}"}}'
        yield f"{pump!r} in a list", f'{{"a":[{row}]}}'
        yield f"{pump!r} behind a name", f'a="{row}"'


def seconds(parse: Callable[[str], object], text: str, times: int = 1) -> float:
    """The process time of one pass, the shortest of ``times``."""
    best = float("inf")
    for _ in range(times):
        began = time.process_time()
        parse(text)
        best = min(best, time.process_time() - began)
    return best


def slower_than_linear(parse: Callable[[str], object], *, plain: bool = False, size: int = SHORT) -> Iterator[str]:
    """The worst cases in which the time of ``parse`` grows faster than the text, with their ratios.

    ``plain``: without those that lie in quotes or brackets, which mean nothing to an expression. A ratio that is too
    large is measured again, more thoroughly, since the process may have been interrupted. ``size``: the number of
    characters of the shorter text.
    """
    longer = size * 2**DOUBLINGS
    for (name, short), (_, long) in zip(texts(size, plain=plain), texts(longer, plain=plain), strict=True):
        once = seconds(parse, long)
        if once < NEGLIGIBLE_S or once < MOST * seconds(parse, short, 2):
            continue
        ratio = min(seconds(parse, long, 3) / max(seconds(parse, short, 9), 1e-9) for _ in range(3))
        if ratio > MOST:
            yield f"{name}: {ratio:.0f} times as long for {2**DOUBLINGS} times the text"


# --- every regular expression ------------------------------------------------------------------------------------


@cache
def modules() -> list[ModuleType]:
    """All modules of the package, without migrations."""
    names = [each.name for each in pkgutil.walk_packages(booking_payments.__path__, "booking_payments.")]
    left_out = ("booking_payments.__main__", "booking_payments.asgi", "booking_payments.adapters.sql.migrations.")
    return [importlib.import_module(name) for name in names if not name.startswith(left_out)]


@cache
def expressions() -> Mapping[str, Callable[[str], object]]:
    """Every regular expression of the package, by module and line or name, as it is applied there."""
    found: dict[str, Callable[[str], object]] = {}
    for module in modules():
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        for name, value in vars(module).items():
            for number, pattern in enumerate(_patterns(value)):
                for verb in _verbs(source, name):
                    found[f"{module.__name__}.{name}[{number}].{verb}"] = _applied(pattern, verb)
        for call in ast.walk(parsed(source)):
            found |= _inline(module.__name__, call)
    return found


def left_out(found: Collection[str], module: str, source: str) -> Iterator[str]:
    """Where ``module`` has an expression that is not among ``found``, since it is no text of the program: it is made
    while the program runs, or not by the name of ``re``."""
    tree = parsed(source)
    listed: set[int] = set()
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
                if any(each.startswith(f"{module}.{name}[") for each in found):
                    listed |= {id(each) for each in ast.walk(statement)}
    for each in ast.walk(tree):
        match each:
            case ast.ImportFrom(module="re" | "regex") | ast.Import(names=[ast.alias("re" | "regex", str())]):
                yield f"{module}: re under another name"
            case ast.Call(func=ast.Attribute(value=ast.Name("re"), attr=verb), args=[pattern, *_]):
                inline = isinstance(pattern, ast.Constant) and verb != "compile"
                if verb != "escape" and not inline and id(each) not in listed:
                    yield f"{module}: {ast.unparse(each)}"


READERS: Final = frozenset(
    {
        *("loads", "convert", "parse_qsl", "parse_qs", "urlsplit", "urlparse", "unquote", "unquote_plus"),
        *("fromisoformat", "strptime", "b64decode", "urlsafe_b64decode", "ip_address", "ip_network"),
        *("fromstring", "literal_eval", "SimpleCookie", "Decoder"),
    }
)
"""Functions of libraries that make values of texts; of ``decode`` those that do not make a text of bytes."""


def reads(source: str) -> bool:
    """Whether a module calls a parser of a library by itself."""
    for each in ast.walk(parsed(source)):
        match each:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(name)) if name in READERS:
                return True
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="json") | ast.Name("jwt"), attr="decode")):
                return True
    return False


def _patterns(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _patterns(part)


def _verbs(source: str, name: str) -> list[str]:
    return sorted(set(re.findall(rf"\b{name}\.(search|match|fullmatch|sub|findall|finditer|split)\(", source))) or [
        "search",
        "sub",
    ]


def _inline(module: str, call: ast.AST) -> dict[str, Callable[[str], object]]:
    match call:
        case ast.Call(func=ast.Attribute(value=ast.Name("re"), attr=verb), args=[ast.Constant(value), *_]):
            if verb != "compile":
                return {f"{module}:{call.lineno}.{verb}": _applied(re.compile(value), verb)}
    return {}


def _applied(pattern: re.Pattern[Any], verb: str) -> Callable[[str], object]:
    def apply(text: str) -> object:
        given: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
        if verb == "sub":
            return pattern.sub(given[:0], given)
        if verb == "finditer":
            return list(pattern.finditer(given))
        return getattr(pattern, verb)(given)

    return apply
