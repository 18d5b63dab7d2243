"""The sources of the package as syntax trees, each parsed once for all tests of a process that read it."""

import ast
import gc
from functools import cache
from pathlib import Path


def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file, which callers must not change."""
    return parsed(path.read_text(encoding="utf-8"))


@cache
def parsed(source: str) -> ast.Module:
    """Return the syntax tree of ``source``, which callers must not change.

    Without garbage collection, which takes longer than parsing where it runs: a tree has thousands of new objects, and
    none of them is garbage.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if collects:
            gc.enable()
