"""Optional packages: an adapter's packages are imported when the settings choose it, and the error for a missing one
names the command that installs it. ``pyproject.toml`` has the packages of each extra."""

from collections.abc import Iterator
from contextlib import contextmanager

from booking_payments.runtime.settings_error import SettingProblem, SettingsError


@contextmanager
def extra(name: str, asked_by: str, what: str = "") -> Iterator[None]:
    """Wrap the imports of packages of the extra ``name``.

    Args:
        name: the extra.
        asked_by: the setting or command that needs the package, for the error.
        what: the part of the service that needs it, for the error.

    Raises:
        SettingsError: When a package is missing or can't be loaded.
    """
    try:
        yield
    except ImportError as error:
        if _package(error) == "booking_payments":
            raise  # a mistake in this package, which no installation would correct
        remedy = f"{what} {_trouble(error)}; run: pip install 'booking-payments[{name}]'".lstrip()
        raise SettingsError(SettingProblem(asked_by, remedy)) from None


def require_driver(*, on_postgresql: bool) -> None:
    """Raise ``SettingsError`` when the driver of PostgreSQL is needed and not installed."""
    if on_postgresql:
        with extra("postgres", "DATABASE_URL", "PostgreSQL"):
            import psycopg  # noqa: F401


def _trouble(error: ImportError) -> str:
    """Return the problem in words; an installed package may lack a system library, which its own error names."""
    if isinstance(error, ModuleNotFoundError):
        return f"needs the package {_package(error)}"
    return f"can't be loaded ({' '.join(str(error).split())})"


def _package(error: ImportError) -> str:
    return (error.name or "").partition(".")[0]
