"""The requirements of pyproject.toml, and the installed packages that they need."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tools.lock import asked_for

ROOT: Final = Path(__file__).resolve().parents[1]
_DECLARED: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
EXTRAS: Final = tuple(name for name in _DECLARED if name not in ("all", "dev", "fuzz"))
"""The extras that add a part of the service."""


@cache
def named(*extras: str) -> frozenset[str]:
    """The packages that are asked for by name, with ``extras``."""
    return frozenset(canonicalize_name(Requirement(each).name) for each in asked_for(*extras))


@cache
def closure(*extras: str) -> frozenset[str]:
    """The packages of a fresh install with ``extras``: those that are asked for, those that they ask for, and so on.

    A package that is not installed is left out: its marker excludes this system.
    """
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(each.name), frozenset(each.extras)) for each in map(Requirement, asked_for(*extras))]
    while waiting:
        package = waiting.pop()
        if package not in found and _is_here(package[0]):
            found.add(package)
            waiting.extend(_asked_by(*package))
    return frozenset(name for name, _ in found)


def _asked_by(name: str, extras: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    for each in map(Requirement, distribution(name).requires or ()):
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(each.name), frozenset(each.extras)


def _is_here(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


@cache
def homes() -> Mapping[str, set[str]]:
    """By the name that is imported, the packages that bring it. To look into all packages takes a second."""
    return {name: {canonicalize_name(each) for each in found} for name, found in packages_distributions().items()}


CORNERS: Final = {
    "http": (
        "entrypoints.http",
        "entrypoints.pages",
        "sandbox.http",
        "runtime.supervisor",
        "testing.sandbox",
        "adapters.openid",
        "adapters.throttle",
    ),
    "stripe": ("adapters.gateways.stripe.sdk", "adapters.gateways.stripe.connections"),
    "postgres": ("adapters.sql.groups", "adapters.sql.pooling"),
    "worker": ("adapters.procrastinate.queue", "adapters.procrastinate.worker", "entrypoints.worker"),
    "broker": ("adapters.messages.broker",),
}
"""Modules that are imported only where their extra is installed. What else an extra brings is looked for where it is
used, in functions."""


def corner_of(module: str) -> str | None:
    """Return the extra that ``module`` needs; None for modules of the base installation."""
    inside = module.removeprefix("booking_payments.")
    for extra, parts in CORNERS.items():
        if any(inside == part or inside.startswith(f"{part}.") for part in parts):
            return extra
    return None


def modules() -> dict[str, Path]:
    """Every module of the package, by name."""
    source = ROOT / "src"
    return {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(source.rglob("*.py"))
    }
