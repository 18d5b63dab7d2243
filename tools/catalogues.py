"""Write the texts of the checkout into its catalogues: new ones without a translation, and none that is not used.

``python -m tools.catalogues`` writes them. ``python -m tools.catalogues FOLDER LANGUAGE`` makes the catalogue of a
further language there, to be translated and named in ``CHECKOUT_CATALOGUES``.
"""

import re
import sys
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "src/booking_payments/entrypoints/pages/languages"

SOURCES: Final = [
    ("src/booking_payments/entrypoints/pages/*.py", "python"),
    ("src/booking_payments/entrypoints/pages/templates/*.html", "jinja2"),
    ("src/booking_payments/adapters/gateways/*/checkout/*.html", "jinja2"),
]
"""Where the texts are, and Babel's extractor for each. Scripts have none: their texts are in ``data-`` attributes."""

KEYWORDS: Final = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
"""The functions whose arguments are texts."""

_DATED: Final = re.compile(
    r'^"(?:Project-Id-Version|Report-Msgid-Bugs-To|POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team'
    r"|Generated-By): .*\n",
    re.MULTILINE,
)
"""Lines of a header that change with each run, or say nothing."""


@cache
def texts() -> Catalog:
    """Return the texts of the source, without translations."""
    found = Catalog()
    for _, _, text, comments, context in extract_from_dir(ROOT, SOURCES, keywords=KEYWORDS):
        found.add(text, None, [], auto_comments=comments, context=context)
    return found


def catalogue(path: Path) -> Catalog:
    """Return the catalogue in a file; an empty one for a file that does not exist."""
    if not path.exists():
        return Catalog(locale=path.stem, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=path.stem, abort_invalid=True)


def updated(path: Path) -> str:
    """Return the file's new content: each text of the source once, sorted, with its translation if there is one."""
    known = catalogue(path)
    known.update(texts(), no_fuzzy_matching=True)
    known.obsolete.clear()
    known.header_comment = f"# {Locale.parse(path.stem).english_name}: texts of the checkout."
    written = BytesIO()
    write_po(written, known, width=0, no_location=True, sort_output=True)
    return _DATED.sub("", written.getvalue().decode())


def missing(found: Catalog) -> Iterable[str]:
    """Yield the texts without a translation, by each form of a plural."""
    for message in _messages(found):
        forms = message.string if message.pluralizable else (message.string,)
        if not forms or not all(forms):
            yield str(message.id)


def _messages(found: Catalog) -> Iterable[Message]:
    return (message for message in found if message.id)


def main(arguments: list[str]) -> int:
    """Write the catalogues; return the exit status."""
    if arguments and len(arguments) != 2:
        sys.stderr.write("usage: python -m tools.catalogues [FOLDER LANGUAGE]\n")
        return 2
    paths = [Path(arguments[0]) / f"{arguments[1]}.po"] if arguments else sorted(FOLDER.glob("*.po"))
    for path in paths:
        try:
            path.write_text(updated(path), encoding="utf-8")
        except (UnknownLocaleError, ValueError) as error:
            sys.stderr.write(f"{path.name}: {error}\n")
            return 1
        for text in missing(catalogue(path)):
            sys.stdout.write(f"{path.name}: not translated: {text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
