"""The service's processes do not import modules that they never use."""

import subprocess
import sys
from pathlib import Path

STEPS = """
import asyncio, sys
from booking_payments.runtime.composition import build
from booking_payments.runtime.settings import load_settings

async def build_services():
    async with build(load_settings({{"DATABASE_URL": "sqlite:///{folder}/payments.db"}}, env_file=None)):
        pass

def show_loaded(*names):
    print(*(name for name in names if name in sys.modules))

asyncio.run(build_services())
show_loaded("structlog", "stripe")
import booking_payments.asgi
from booking_payments.entrypoints.http import app
show_loaded("litestar", "alembic", "stripe")
"""


def test_migrations_and_the_sdk_of_another_gateway_are_not_loaded_by_a_process_that_serves(tmp_path: Path) -> None:
    """In two steps, since each of them loads what the other could have loaded too: with the services, and with the app
    and its server."""
    program = STEPS.format(folder=tmp_path)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert done.stdout.splitlines() == ["structlog", "litestar"]
