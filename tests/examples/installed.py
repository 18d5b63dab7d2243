"""Install the gateway of another distribution for as long as a test needs it, by a folder with its metadata."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from booking_payments.ports.gateway_plugin import GROUP
from booking_payments.runtime.plugins import installed_gateways, plugin_named


@contextmanager
def installed(folder: Path, name: str, target: str) -> Iterator[None]:
    """The distribution ``example-NAME`` with its modules in ``folder``, whose entry point ``name`` is ``target``."""
    metadata = folder / f"example_{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: example-{name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {target}\n")
    module = target.partition(":")[0].partition(".")[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        _forget()
        try:
            yield
        finally:
            _forget()
            for each in [each for each in sys.modules if each == module or each.startswith(f"{module}.")]:
                del sys.modules[each]


def _forget() -> None:
    """Clear the caches of the installed gateways: a process reads them once, and this test changes them."""
    plugin_named.cache_clear()
    installed_gateways.cache_clear()
