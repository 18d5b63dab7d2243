"""How `make docs` builds the site: Markdown as it stands here, nothing loaded from elsewhere."""

import logging

project = "booking-payments"
author = "the booking-payments maintainers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# Docstrings have the sections of the Google style; attributes become a list, since autodoc describes each one already.
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_typehints = "signature"
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "booking-payments"
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Links that leave docs/ (to the sources, to README.md) are held by tests/unit/test_docs.py; the site leaves them alone.
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]

# Imported for its docstrings; what it says of itself is of no interest here.
logging.getLogger("alembic").setLevel(logging.WARNING)
