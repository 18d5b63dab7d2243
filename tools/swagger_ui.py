"""Replace Swagger UI in the package by another version: ``python -m tools.swagger_ui 5.35.0``.

Needs ``npm``, whose own integrity check of the package applies.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "src" / "booking_payments" / "entrypoints" / "http" / "swagger_ui"
FILES: Final = (
    "LICENSE",
    "NOTICE",
    "favicon-32x32.png",
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
)


def sums() -> str:
    """The SHA-256 sums of the files as they are, in the form of ``sha256sum``."""
    return "".join(f"{hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()}  {name}\n" for name in FILES)


def main(version: str) -> int:
    """Fetch the files, and write their sums and the version. Returns the exit code."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        print("name a version, for example: python -m tools.swagger_ui 5.35.0", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(  # noqa: S603 - our own command, with a version that was checked
            ["npm", "pack", f"swagger-ui-dist@{version}", "--pack-destination", folder],  # noqa: S607
            check=True,
        )
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as packed:
            for name in FILES:
                content = packed.extractfile(f"package/{name}")
                assert content is not None, f"the package has no {name}"  # noqa: S101 - a tool's own check
                (FOLDER / name).write_bytes(content.read())
    (FOLDER / "SHA256SUMS").write_text(sums())
    for told in (FOLDER / "README.md", ROOT / "docs" / "decisions" / "0021-web-layer.md"):
        text = told.read_text(encoding="utf-8")
        told.write_text(re.sub(r"(`swagger-ui-dist` )\d+\.\d+\.\d+", rf"\g<1>{version}", text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [""]))
