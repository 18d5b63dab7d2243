"""The identity provider port: log-in with OpenID Connect, by the authorization code flow with PKCE."""

from typing import Protocol

from attrs import field, frozen

from booking_payments.ports.console_sessions import OperatorIdentity


class ProviderUnavailable(Exception):
    """The provider cannot be reached, or its documents cannot be used. The message says which, and names no secret."""


class TooManyLogIns(Exception):
    """So many log-ins are being finished at the same time that this one was not begun; trying again helps."""


class LogInRejected(Exception):
    """The provider's answer proves no log-in: a wrong code, an invalid ID token. The message says why."""


@frozen(kw_only=True)
class LogInSecrets:
    """The values of one log-in, known to the browser that began it and, in part, to the provider.

    Attributes:
        state: returned by the provider to the callback.
        nonce: returned by the provider in the ID token.
        code_verifier: sent with the code; the provider has its hash since the log-in began.
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)


@frozen(kw_only=True)
class LoggedIn:
    """An operator that the provider has authenticated.

    Attributes:
        operator: who it is.
        may_read: whether the role claim has the role ``payments:read``, or one that includes it.
        may_act: whether it has ``payments:operate``.
        id_token: the provider's ID token, for the log-out there.
    """

    operator: OperatorIdentity
    may_read: bool
    may_act: bool
    id_token: str = field(repr=False)


class IdentityProvider(Protocol):
    """The OpenID provider of the settings."""

    @property
    def title(self) -> str:
        """The provider's name for people: its host."""
        ...

    async def log_in_url(self, secrets: LogInSecrets) -> str:
        """Return where the browser goes to log in.

        Raises:
            ProviderUnavailable: the provider's metadata cannot be read.
        """
        ...

    async def log_in(self, code: str, secrets: LogInSecrets, issuer: str | None) -> LoggedIn:
        """Redeem the code of a callback.

        Args:
            code: the callback's ``code``.
            secrets: those with which ``log_in_url`` was called.
            issuer: the callback's ``iss`` (RFC 9207); None: it had none.

        Raises:
            LogInRejected: the code or the ID token is not valid.
            ProviderUnavailable: the provider cannot be reached.
            TooManyLogIns: the provider was not asked.
        """
        ...

    async def log_out_url(self, id_token: str | None) -> str | None:
        """Return where the browser goes to log out at the provider; None where the provider offers no log-out, or
        cannot be reached."""
        ...

    async def examine(self) -> str:
        """Try all that works without a user, and return what was found.

        Raises:
            LogInRejected: the provider does not know the client id or the secret.
            ProviderUnavailable: the provider cannot be reached, or its metadata or keys cannot be used.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
