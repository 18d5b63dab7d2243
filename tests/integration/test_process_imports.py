"""The service's processes do not import modules that they never use."""

import subprocess
import sys
from pathlib import Path

LOADED = """
import sys
{code}
print(*sorted(name for name in {names!r} if name in sys.modules))
"""


def loaded(code: str, *names: str) -> list[str]:
    """Return which of the modules are imported after ``code`` in a new process."""
    program = LOADED.format(code=code, names=names)
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()


def test_migrations_are_not_loaded_by_a_process_that_serves() -> None:
    assert loaded("import booking_payments.asgi", "structlog", "alembic") == ["structlog"]


def test_the_sdk_is_not_loaded_with_another_gateway(tmp_path: Path) -> None:
    code = f"""
import asyncio
from booking_payments.runtime.composition import build
from booking_payments.runtime.settings import load_settings

async def main():
    async with build(load_settings({{"DATABASE_URL": "sqlite:///{tmp_path}/payments.db"}}, env_file=None)):
        pass

asyncio.run(main())
"""

    assert loaded(code, "structlog", "stripe") == ["structlog"]
