"""Take the screenshots in docs/pictures anew: the browser tests photograph the pages that they look at."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "pictures"

PICTURES: Final[Mapping[str, str]] = {
    "checkout-phone": "checkout-pay-phone",
    "console-dashboard": "console-dashboard-1280-light",
    "console-payment": "console-payment-ROW-4-1280-light",
    "console-refund": "console-refund-1280-light",
}
"""Each picture, and the photograph that it is."""

TESTS: Final = "a_booking_can_be_paid_with_the_keyboard_only or every_width or refund_is_made"
"""The tests that look at these pages."""


def main() -> int:
    """Run the tests, keep the photographs; returns the exit code."""
    with tempfile.TemporaryDirectory() as taken:
        words = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests/browser", "-k", TESTS]
        done = subprocess.run(words, cwd=ROOT, env={**os.environ, "SCREENSHOTS": taken}, check=False)  # noqa: S603 - ours
        missing = [name for name in PICTURES.values() if not (Path(taken) / f"{name}.png").exists()]
        if done.returncode or missing:
            sys.stderr.write(f"not taken: {', '.join(missing) or 'a test failed'}\n")
            return 1
        for name, photograph in PICTURES.items():
            shutil.copy(Path(taken) / f"{photograph}.png", FOLDER / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
