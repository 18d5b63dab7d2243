"""The dependency rules of the hexagon, and no floats for money. import-linter checks the layers too; these tests
name the line.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import booking_payments
from booking_payments.entrypoints.pages import site
from tests.rows import row
from tests.sources import tree_of

ROOT = Path(booking_payments.__file__).parent
LAYERS = ("domain", "ports", "application", "adapters", "runtime", "presentation", "entrypoints")
"""From the inside out: each layer may import those before it, and itself."""

DOMAIN = sorted((ROOT / "domain").rglob("*.py"))
PORTS = sorted((ROOT / "ports").rglob("*.py"))
SANDBOX = sorted((ROOT / "sandbox").rglob("*.py"))
LAYERED = [(layer, path) for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def _imports(path: Path) -> frozenset[str]:
    """Return every module that a file imports, also inside functions, by its full name."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)}:{node.lineno} imports relatively"
            yield node.module or ""
            if node.module == "booking_payments":
                yield from (f"booking_payments.{alias.name}" for alias in node.names)


def _module_of(path: Path) -> str:
    parts = ("booking_payments", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def _graph() -> dict[str, set[str]]:
    """Return each module with the modules of this package that it imports, including imports inside functions and
    for types only.
    """
    modules = {_module_of(path): path for path in ROOT.rglob("*.py")}
    graph = dict[str, set[str]]()
    for module, path in modules.items():
        graph[module] = set()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names if alias.name in modules}
            elif isinstance(node, ast.ImportFrom) and node.module in modules:
                named = (f"{node.module}.{alias.name}" for alias in node.names)
                graph[module] |= {name if name in modules else str(node.module) for name in named}
        graph[module].discard(module)
    # The package's own `__init__` loads names lazily.
    return graph | {"booking_payments": set()}


def test_there_are_no_import_cycles() -> None:
    order = list(TopologicalSorter(_graph()).static_order())  # raises CycleError, which names the modules

    assert "booking_payments.domain.money" in order


def _layer_of(module: str) -> str | None:
    """Return the layer: ``domain`` of ``booking_payments.domain.money``. Returns None for a module of another
    package.
    """
    head, _, rest = module.partition(".")
    return rest.split(".")[0] if head == "booking_payments" and rest else None


def _foreign(path: Path) -> set[str]:
    heads = {module.split(".")[0] for module in _imports(path)}
    return {head for head in heads if head not in sys.stdlib_module_names and head != "booking_payments"}


@pytest.mark.parametrize("path", [*DOMAIN, *PORTS], ids=_name)
def test_domain_and_ports_import_only_the_standard_library_and_attrs(path: Path) -> None:
    assert _foreign(path) <= {"attrs"}


@pytest.mark.parametrize("path", DOMAIN, ids=_name)
def test_the_domain_imports_only_itself(path: Path) -> None:
    assert {_layer_of(module) for module in _imports(path)} <= {None, "domain"}


@pytest.mark.parametrize("path", PORTS, ids=_name)
def test_ports_import_only_the_domain_and_one_another(path: Path) -> None:
    assert {_layer_of(module) for module in _imports(path)} <= {None, "domain", "ports"}


def test_imports_point_inwards() -> None:
    for layer, path in LAYERED:
        with row(_name(path)):
            inside = set(LAYERS[: LAYERS.index(layer) + 1])
            # The fake gateway and the commands of the sandbox use the Stripe emulator.
            inside |= {"sandbox"} if LAYERS.index(layer) >= LAYERS.index("adapters") else set()

            known = {_layer_of(module) for module in _imports(path)} - {None}

            assert known <= inside


@pytest.mark.parametrize("path", SANDBOX, ids=_name)
def test_the_stripe_emulator_imports_nothing_else_of_the_package(path: Path) -> None:
    ours = {module for module in _imports(path) if module.partition(".")[0] == "booking_payments"}

    assert {_layer_of(module) for module in ours} <= {"sandbox"}


def test_import_linter_forbids_the_stripe_emulator_everything_else_of_the_package() -> None:
    configured = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contract = next(each for each in configured if each.get("source_modules") == ["booking_payments.sandbox"])
    beside = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert set(contract["forbidden_modules"]) == {
        f"booking_payments.{name}" for name in beside - {"__init__", "sandbox"}
    }


@pytest.mark.parametrize("path", DOMAIN, ids=_name)
def test_the_domain_uses_no_floats(path: Path) -> None:
    found = [f"{_name(path)}:{line} {what}" for line, what in _floats(tree_of(path))]

    assert found == []


def _floats(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield node.lineno, f"literal {node.value}"
        elif isinstance(node, ast.Name) and node.id == "float":
            yield node.lineno, "float"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div) and not _is_exact(node):
            yield node.lineno, "true division"


def _is_exact(node: ast.BinOp | ast.AugAssign) -> bool:
    """Return whether a ``Fraction(...)`` is divided: the result is an exact fraction and not a float."""
    left = node.left if isinstance(node, ast.BinOp) else None
    return isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == "Fraction"


@pytest.mark.parametrize("code", ["x = 1.5", "x = float('1')", "def f(x: float): ...", "x = a / b", "a /= b"])
def test_the_search_for_floats_finds_them(code: str) -> None:
    assert list(_floats(ast.parse(code)))


@pytest.mark.parametrize("code", ["x = Fraction(a) / 100", "x = a // b", "x = Decimal('1.5')"])
def test_the_search_for_floats_accepts_exact_types(code: str) -> None:
    assert not list(_floats(ast.parse(code)))


GATEWAYS = sorted(path.parent for path in (ROOT / "adapters" / "gateways").glob("*/__init__.py"))


@pytest.mark.parametrize("folder", GATEWAYS, ids=lambda folder: folder.name)
def test_every_gateway_is_a_plugin_that_the_package_announces(folder: Path) -> None:
    project = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text())["project"]
    announced = project["entry-points"]["booking_payments.gateways"]

    assert (folder / "plugin.py").exists()
    assert announced.get(folder.name) == f"booking_payments.adapters.gateways.{folder.name}.plugin:PLUGIN"
    assert entry_points(group="booking_payments.gateways", name=folder.name), (
        "announced, but not installed: .venv/bin/python -m pip install --no-deps --no-build-isolation --editable ."
    )


WITHOUT_CONTRACT = {"manual": "operators record its payments; its tables and refunds are those of bank transfers"}
_CONTRACT = re.compile(r"^class \w+\((Card)?GatewayContract\):", re.MULTILINE)


def test_every_gateway_is_tested_by_the_contract() -> None:
    tests = [path.read_text(encoding="utf-8") for path in (ROOT.parents[1] / "tests").rglob("*.py")]
    tested = "\n".join(text for text in tests if _CONTRACT.search(text))

    missing = {each.name for each in GATEWAYS if f"booking_payments.adapters.gateways.{each.name}" not in tested}
    assert missing == WITHOUT_CONTRACT.keys(), "subclass GatewayContract in the tests of a new gateway"


def test_every_page_of_the_console_is_served() -> None:
    modules = {path.stem for path in (ROOT / "entrypoints" / "pages" / "console").glob("*.py")}
    with_pages = {
        name
        for name in modules
        if hasattr(import_module(f"booking_payments.entrypoints.pages.console.{name}"), "PAGES")
    }

    assert with_pages == {module.__name__.rpartition(".")[2] for module in site._CONSOLE}


# --- one meaning for each name ---------------------------------------------------------------------------------


def test_no_class_name_is_used_by_two_modules() -> None:
    found = dict[str, set[str]]()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name.lstrip("_"), set()).add(_name(path))

    assert {name: sorted(modules) for name, modules in found.items() if len(modules) > 1} == {}
