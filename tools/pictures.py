"""Draw docs/pictures/*.svg from the tables in the code, with Graphviz; a test reports when one is stale.

Each picture contains a hash of its source, so that staleness can be detected without Graphviz.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tools.diagrams import CHAPTERS, moves

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures"

LOOK: Final = """\
  bgcolor="#ffffff"; pad=0.25; nodesep=0.35; ranksep=0.55;
  node [shape=box, style="rounded,filled", fillcolor="#eef3fb", color="#3b5b92", fontname="sans-serif", fontsize=13];
  edge [color="#5b6472", fontcolor="#39414d", fontname="sans-serif", fontsize=10, arrowsize=0.7];
"""
"""Dark on white in every theme. From top to bottom, so that it can be read on a phone."""

LABELLED: Final = 12
"""The largest number of arrows that can be labelled legibly."""

HEXAGON: Final = """\
digraph {
  rankdir=TB;
{look}
  outside [label="embedding · asgi · serving"];
  outside -> entrypoints -> runtime -> adapters -> application -> ports -> domain;
  entrypoints -> presentation -> application;
  adapters -> sandbox [style=dashed, label="the fake gateway"];
}
"""


def sources() -> Mapping[str, str]:
    """Return the Graphviz source of each picture, by its name."""
    lifecycles = {f"lifecycle-{title.lower()}": _lifecycle(title) for title, *_ in CHAPTERS}
    return {"hexagon": HEXAGON.replace("{look}", LOOK), **lifecycles}


def _lifecycle(title: str) -> str:
    table = next(table for name, _, table, _ in CHAPTERS if name == title)
    found = sorted(moves(table).items())
    arrows = [f'  "{start}" -> "{end}"{_label(names, len(found))};' for (start, end), names in found]
    states = [f'  "{state.value}" [label="{_stacked(state.value)}"];' for state in table if state]
    begin = '  "new" [shape=circle, label="", width=0.2, fillcolor="#3b5b92"];'
    return "\n".join(["digraph {", "  rankdir=TB;", LOOK, begin, *states, *arrows, "}"]) + "\n"


def _label(names: list[str], arrows: int) -> str:
    """Return the label of an arrow: its events. When there are many arrows, the table below the picture has them."""
    return "" if arrows > LABELLED else ' [label="' + ",\\n".join(names) + '"]'


def _stacked(name: str) -> str:
    return name.replace("_", "\\n")


def mark(source: str) -> str:
    """Return the hash that identifies the source of a picture."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def stale() -> list[str]:
    """Return the names of the pictures that are missing or stale."""
    return [name for name, source in sources().items() if mark(source) not in _text(FOLDER / f"{name}.svg")]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def draw(name: str, source: str) -> None:
    """Draw one picture."""
    dot = shutil.which("dot") or "dot"
    drawn = subprocess.run(  # noqa: S603 - our own argument
        [dot, "-Tsvg"], input=source, capture_output=True, text=True, check=True
    ).stdout
    svg = drawn[drawn.index("<svg") :]
    without_size = re.sub(r'<svg width="(\d+)pt" height="\d+pt"', r'<svg width="\1"', svg, count=1)
    (FOLDER / f"{name}.svg").write_text(f"<!-- drawn from {mark(source)} -->\n{without_size}", encoding="utf-8")


def main() -> int:
    """Draw the stale pictures; returns the exit code."""
    if stale() and shutil.which("dot") is None:
        sys.stderr.write(f"stale: {', '.join(stale())}. Drawing needs Graphviz: apt install graphviz\n")
        return 1
    for name in stale():
        draw(name, sources()[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
