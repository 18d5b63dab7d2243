"""Draw docs/pictures/*.svg from the code's own tables, with Graphviz; a test says when one is stale.

Each picture holds a mark of what it was drawn from, so that whoever has no Graphviz can still tell whether it is.
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
"""Dark on white in every theme. From top to bottom, so that it is read on a phone, too."""

LABELLED: Final = 12
"""Up to so many arrows can be labelled and read."""

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
    """What each picture is drawn from, in Graphviz' language, by its name."""
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
    """The events that lead there. Where there are many arrows the table below the picture has them."""
    return "" if arrows > LABELLED else ' [label="' + ",\\n".join(names) + '"]'


def _stacked(name: str) -> str:
    return name.replace("_", "\\n")


def mark(source: str) -> str:
    """What tells from which source a picture was drawn."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def stale() -> list[str]:
    """The names of the pictures that are missing, or were drawn from something else."""
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
    """Draw what is stale; returns the exit code."""
    if stale() and shutil.which("dot") is None:
        sys.stderr.write(f"stale: {', '.join(stale())}. Drawing needs Graphviz: apt install graphviz\n")
        return 1
    for name in stale():
        draw(name, sources()[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
