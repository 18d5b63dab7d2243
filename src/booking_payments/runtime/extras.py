"""What is installed on demand: where an adapter is chosen its packages are asked for, and the one that is missing is
named with the command that brings it. Which extra brings what stands in ``pyproject.toml``."""

from collections.abc import Iterator
from contextlib import contextmanager

from booking_payments.runtime.settings_error import SettingProblem, SettingsError


@contextmanager
def extra(name: str, asked_by: str, what: str = "") -> Iterator[None]:
    """For the imports of what the extra ``name`` brings.

    Raises ``SettingsError`` where one of them is missing: ``asked_by`` is the setting or the command that asked for it,
    ``what`` the part of the service that needs it.
    """
    try:
        yield
    except ImportError as error:
        if _package(error) == "booking_payments":
            raise  # our own mistake, which no installing mends
        remedy = f"{what} {_trouble(error)}; run: pip install 'booking-payments[{name}]'".lstrip()
        raise SettingsError(SettingProblem(asked_by, remedy)) from None


def require_driver(*, on_postgresql: bool) -> None:
    """Raise ``SettingsError`` where the driver of PostgreSQL is needed and not installed."""
    if on_postgresql:
        with extra("postgres", "DATABASE_URL", "PostgreSQL"):
            import psycopg  # noqa: F401


def _trouble(error: ImportError) -> str:
    """A package may be there and lack something of the system's, which only it can tell."""
    if isinstance(error, ModuleNotFoundError):
        return f"needs the package {_package(error)}"
    return f"can't be loaded ({' '.join(str(error).split())})"


def _package(error: ImportError) -> str:
    return (error.name or "").partition(".")[0]
