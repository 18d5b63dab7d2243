"""Every imported package is a dependency: of the package itself, or of the extra to which the importing module
belongs.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from booking_payments.runtime.extras import extra
from booking_payments.runtime.settings_error import SettingsError
from tests.requiring import EXTRAS, closure, corner_of, homes, modules, named
from tests.rows import row
from tests.sources import tree_of

HOMES = homes()
FOUND_OTHERWISE = {
    "aiosqlite": "by SQLAlchemy",
    "flask-swagger-ui": "by the folder where it is installed, since importing it would load Flask",
    "httptools": "by uvicorn",
    "kombu": "by its name, since it has no types",
}

MODULES = modules()


def _foreign(path: Path, *, always: bool) -> set[str]:
    """Return the third-party packages that a file imports: with ``always`` at import time, else anywhere."""
    return _imports(path)[not always]


@cache
def _imports(path: Path) -> tuple[set[str], set[str]]:
    """Return the third-party packages that a file imports at import time, and those that it imports anywhere."""
    tree = tree_of(path)
    return _heads(_at_once(tree)), _heads(ast.walk(tree))


def _heads(nodes: Iterable[ast.AST]) -> set[str]:
    heads = {name.partition(".")[0] for node in nodes for name in _named_in(node)}
    return heads - sys.stdlib_module_names - {"booking_payments"}


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements that run at import: no function bodies, and no imports for types only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types(child):
            continue
        yield child
        yield from _at_once(child)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _named_in(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""


def _unasked(names: set[str], asked: frozenset[str]) -> set[str]:
    return {name for name in names if not HOMES.get(name, set()) & asked}


def test_a_package_imported_at_import_time_is_a_dependency_of_the_package_or_of_the_modules_extra() -> None:
    for module, path in MODULES.items():
        with row(module):
            corner = corner_of(module)
            # The contract suites are imported by pytest.
            asked = named(*([corner] if corner else [])) | frozenset({"pytest"} if ".testing." in module else ())

            assert _unasked(_foreign(path, always=True), asked) == set()


def test_a_package_imported_lazily_is_a_declared_dependency() -> None:
    for module, path in MODULES.items():
        with row(module):
            asked = named("all") | frozenset({"pytest"} if ".testing." in module else ())

            assert _unasked(_foreign(path, always=False), asked) == set()


def test_every_dependency_is_imported() -> None:
    imported = {name for path in MODULES.values() for name in _foreign(path, always=False)}
    used = {package for name in imported for package in HOMES[name]}

    assert named("all") - used - FOUND_OTHERWISE.keys() == set()


@pytest.mark.parametrize("name", EXTRAS)
def test_an_install_without_extras_has_no_package_of_an_extra(name: str) -> None:
    brought = named(name) - named()

    assert brought != set()
    assert brought & closure() <= {"markupsafe"}  # of Alembic's templates, too


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_has_no_package_of_another_extra(name: str) -> None:
    others = frozenset().union(*(named(other) for other in EXTRAS)) - named(name)

    assert others & (closure(name) - closure()) == set()


def test_the_extra_all_contains_every_extra() -> None:
    assert named("all") == frozenset().union(*(named(name) for name in EXTRAS))
    assert named("dev") >= named("all")


def test_every_extra_is_explained_on_the_start_page() -> None:
    page = (Path(__file__).parents[2] / "docs/start.md").read_text()

    assert [name for name in (*EXTRAS, "all") if f"| `{name}` |" not in page] == []


# --- messages for missing packages


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(SettingsError) as caught, extra("stripe", "PAYMENT_GATEWAY", "stripe"):
        import no_such_package.inside  # type: ignore[import-not-found] # noqa: F401

    expected = "PAYMENT_GATEWAY: stripe needs the package no_such_package; run: pip install 'booking-payments[stripe]'"
    assert str(caught.value) == expected


def test_an_import_error_inside_a_package_is_reported_with_its_message() -> None:
    with pytest.raises(SettingsError) as caught, extra("postgres", "DATABASE_URL", "PostgreSQL"):
        raise ImportError("no pq wrapper available.\nAttempts made: ...")

    told = "PostgreSQL can't be loaded (no pq wrapper available. Attempts made: ...)"
    assert str(caught.value) == f"DATABASE_URL: {told}; run: pip install 'booking-payments[postgres]'"


def test_a_missing_module_of_this_package_is_not_reported_as_a_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError), extra("stripe", "PAYMENT_GATEWAY"):
        import booking_payments.no_such_module  # type: ignore[import-not-found] # noqa: F401
