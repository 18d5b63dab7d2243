"""Nothing outside a gateway's folder names the gateway, except where a reason is given here."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.sources import tree_of

ROOT = Path(__file__).parents[2] / "src" / "booking_payments"
GATEWAYS = ROOT / "adapters" / "gateways"
NAMES = sorted(each.parent.name for each in GATEWAYS.glob("*/plugin.py"))
LOOSE = {"manual"}
"""Names that are also something else, here a capture method: only imports of their folder count."""

ALLOWED = {
    "adapters/sql/migrations/__init__.py": ({"bank_transfer"}, "one migration creates the tables of the whole package"),
    "autogenerate.py": ({"bank_transfer"}, "the same tables, for the migrations of a host application"),
    "entrypoints/cli/transfers.py": ({"bank_transfer"}, "the command of this gateway, for types only (decision 23)"),
    "entrypoints/pages/bank.py": ({"stripe"}, "the sandbox's page of a bank, in Stripe's amounts"),
    "presentation/models.py": ({"stripe", "bank_transfer"}, "examples in the OpenAPI document"),
    "runtime/settings.py": ({"stripe", "fake"}, "the contract's default of PAYMENT_GATEWAYS"),
}
"""What each module names, and why it has to."""


def _named(path: Path) -> Iterator[str]:
    """Each gateway that a module names: in a string of its own, or by an import."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Constant) and node.value in set(NAMES) - LOOSE:
            yield str(node.value)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("booking_payments.adapters."):
            parts = node.module.split(".")
            if parts[2] == "gateways" and len(parts) > 3:
                yield parts[3]


def _found() -> dict[str, set[str]]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        if GATEWAYS in path.parents or path.relative_to(ROOT).parts[0] in ("sandbox", "testing"):
            continue  # the emulator of Stripe, and test kits over the fake gateway
        if names := set(_named(path)):
            found[path.relative_to(ROOT).as_posix()] = names
    return found


def test_a_gateway_is_named_in_its_folder_and_where_a_reason_is_given() -> None:
    found, allowed = _found(), {path: names for path, (names, _) in ALLOWED.items()}
    different = [path for path in sorted({*found, *allowed}) if found.get(path) != allowed.get(path)]

    assert different == [], "these modules name other gateways than ALLOWED says"


def test_templates_and_scripts_of_the_pages_name_no_gateway() -> None:
    pages = ROOT / "entrypoints" / "pages"
    files = [*pages.glob("templates/*.html"), *pages.glob("static/checkout.js")]
    texts = {path.name: path.read_text(encoding="utf-8").lower() for path in files}

    marks = {each: (f"{each}-", f'"{each}"') for each in set(NAMES) - LOOSE}
    named = [
        (name, each) for name, text in texts.items() for each, found in marks.items() if any(m in text for m in found)
    ]

    assert texts
    assert named == []
