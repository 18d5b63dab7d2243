"""What is imported was asked for: by the package itself, or by the extra of the corner that imports it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from booking_payments.runtime.extras import extra
from booking_payments.runtime.settings_error import SettingsError
from tests.requiring import EXTRAS, closure, corner_of, homes, modules, named
from tests.rows import row

HOMES = homes()
FOUND_OTHERWISE = {
    "aiosqlite": "by SQLAlchemy",
    "flask-swagger-ui": "by the folder where it is installed, since importing it would load Flask",
    "httptools": "by uvicorn",
    "kombu": "by its name, since it has no types",
}

MODULES = modules()


def _foreign(path: Path, *, always: bool) -> set[str]:
    """The names of others that a file imports: ``always`` when it is imported itself, or else on any occasion."""
    nodes = ast.walk(ast.parse(path.read_text())) if not always else _at_once(ast.parse(path.read_text()))
    heads = {name.partition(".")[0] for node in nodes for name in _named_in(node)}
    return heads - sys.stdlib_module_names - {"booking_payments"}


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """What runs on import: no bodies of functions, and nothing that is there for the types alone."""
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


def _unasked(names: set[str], asked: set[str]) -> set[str]:
    return {name for name in names if not HOMES.get(name, set()) & asked}


def test_what_is_imported_at_once_belongs_to_everybody_or_to_the_corner() -> None:
    for module, path in MODULES.items():
        with row(module):
            corner = corner_of(module)
            # Whoever imports the contract suites has the pytest that runs them.
            asked = named(*([corner] if corner else [])) | ({"pytest"} if ".testing." in module else set())

            assert _unasked(_foreign(path, always=True), asked) == set()


def test_what_is_imported_when_it_is_needed_was_asked_for_by_name() -> None:
    for module, path in MODULES.items():
        with row(module):
            asked = named("all") | ({"pytest"} if ".testing." in module else set())

            assert _unasked(_foreign(path, always=False), asked) == set()


def test_nothing_is_asked_for_that_nobody_imports() -> None:
    imported = {name for path in MODULES.values() for name in _foreign(path, always=False)}
    used = {package for name in imported for package in HOMES[name]}

    assert named("all") - used - FOUND_OTHERWISE.keys() == set()


@pytest.mark.parametrize("name", EXTRAS)
def test_a_bare_install_brings_nothing_that_an_extra_is_there_for(name: str) -> None:
    brought = named(name) - named()

    assert brought != set()
    assert brought & closure() <= {"markupsafe"}  # of Alembic's templates, too


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_brings_nothing_that_another_is_there_for(name: str) -> None:
    others = set().union(*(named(other) for other in EXTRAS)) - named(name)

    assert others & (closure(name) - closure()) == set()


def test_all_is_all() -> None:
    assert named("all") == set().union(*(named(name) for name in EXTRAS))
    assert named("dev") >= named("all")


def test_the_extras_are_explained_where_one_decides() -> None:
    page = (Path(__file__).parents[2] / "docs/start.md").read_text()

    assert [name for name in (*EXTRAS, "all") if f"| `{name}` |" not in page] == []


# --- what is said when something is missing


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(SettingsError) as caught, extra("stripe", "PAYMENT_GATEWAY", "stripe"):
        import no_such_package.inside  # type: ignore[import-not-found] # noqa: F401

    expected = "PAYMENT_GATEWAY: stripe needs the package no_such_package; run: pip install 'booking-payments[stripe]'"
    assert str(caught.value) == expected


def test_what_a_package_lacks_itself_is_told_as_it_says_it() -> None:
    with pytest.raises(SettingsError) as caught, extra("postgres", "DATABASE_URL", "PostgreSQL"):
        raise ImportError("no pq wrapper available.\nAttempts made: ...")

    told = "PostgreSQL can't be loaded (no pq wrapper available. Attempts made: ...)"
    assert str(caught.value) == f"DATABASE_URL: {told}; run: pip install 'booking-payments[postgres]'"


def test_a_mistake_of_ours_stays_one() -> None:
    with pytest.raises(ModuleNotFoundError), extra("stripe", "PAYMENT_GATEWAY"):
        import booking_payments.no_such_module  # type: ignore[import-not-found] # noqa: F401
