"""The recipes of the guide "tokens" are run, and their tokens are accepted."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from booking_payments.entrypoints.http.auth import TokenRules, authenticate

GUIDE = Path(__file__).resolve().parents[3] / "docs/guides/tokens.md"
SECRET = "a-secret-of-this-test-that-has-32-bytes-and-more"
PROGRAMS = {"python": [sys.executable, "-"], "node": ["node", "-"], "php": ["php"]}


@pytest.mark.parametrize("language", PROGRAMS)
def test_the_tokens_of_the_recipe_are_accepted_with_their_scopes(language: str) -> None:
    command = PROGRAMS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here; the recipe is run where it is")
    found = re.search(rf"<!-- recipe: {language} -->\n\n```\w+\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found

    done = subprocess.run(
        command, input=found[1], env={"JWT_SECRET": SECRET}, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    rules = TokenRules(key=SECRET, algorithm="HS256")
    callers = [authenticate(f"Bearer {token}", rules) for token in done.stdout.split()]
    assert [(each.subject, sorted(each.scopes)) for each in callers] == [
        ("ann", []),
        ("shop", ["bookings:write"]),
        ("olga", ["payments:operate"]),
    ]
