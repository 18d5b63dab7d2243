"""How `make docs` builds the site: Markdown as it stands here, nothing loaded from elsewhere."""

import logging
from importlib.metadata import version as package_version
from typing import Any

project = "booking-payments"
release = version = package_version("booking-payments")
copyright = "the booking-payments maintainers. MIT License"
author = "the booking-payments maintainers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# Docstrings have the sections of the Google style; attributes become a list, since autodoc describes each one already.
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_typehints = "signature"
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"booking-payments {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]

# Imported for its docstrings; its log lines would only disturb the build.
logging.getLogger("alembic").setLevel(logging.WARNING)


PAGES_OF_THE_ROOT = {"CHANGELOG.md": "changelog.md", "SECURITY.md": "reporting-weaknesses.md"}
"""Files beside docs/ that pages include, and the page that includes each."""


def setup(app: Any) -> None:
    """Make links between the included files links between their pages."""
    app.connect("include-read", _link_pages)


def _link_pages(_app: Any, _path: Any, _parent: str, content: list[str]) -> None:
    for file, page in PAGES_OF_THE_ROOT.items():
        content[0] = content[0].replace(f"]({file})", f"]({page})")
