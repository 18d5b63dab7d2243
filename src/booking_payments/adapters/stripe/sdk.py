"""Requests to Stripe through its official SDK, which signs, encodes, sends and pools connections.

The SDK's own retries are off: ``application.gateway_call`` is the only layer that retries, with our stored key.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import anyio
import stripe

from booking_payments.adapters.network import Network
from booking_payments.adapters.stripe.answers import error_from, is_replayed
from booking_payments.adapters.stripe.connections import NOTHING_WAS_SENT, Connections
from booking_payments.adapters.stripe.gateway import API_VERSION, Reply
from booking_payments.adapters.stripe.requests import Params
from booking_payments.ports.gateway import GatewayError, Silent, Unreachable

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
CALL_TIMEOUT: Final = timedelta(seconds=15)
"""How long one try may take from beginning to end, so that a few tries fit into the lease of an operation."""


class SdkTransport:
    """Stripe's API at ``api_base`` (None: Stripe itself), under ``secret_key``.

    ``network``: proxies and certificates, by default the environment's. ``http`` replaces what carries the requests.
    """

    def __init__(
        self,
        secret_key: str,
        api_base: str | None = None,
        *,
        call_timeout: timedelta = CALL_TIMEOUT,
        network: Network | None = None,
        http: stripe.HTTPClient | None = None,
    ) -> None:
        self._call_timeout_s = call_timeout.total_seconds()
        self._http = http or Connections(CONNECT_TIMEOUT.total_seconds(), network)
        self._client = stripe.StripeClient(
            secret_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base.rstrip("/")} if api_base else None,
            max_network_retries=0,
            http_client=self._http,
        )

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> Reply:
        options = {"idempotency_key": idempotency_key} if idempotency_key else {}
        try:
            with anyio.fail_after(self._call_timeout_s):
                answer = await self._client.raw_request_async(method.lower(), path, **params, **options)
        except stripe.StripeError as error:
            raise gateway_error(error) from error
        except TimeoutError as error:
            raise Silent("the payment provider did not answer in time", code="timeout") from error
        except Exception as error:
            # The SDK stumbles over bodies that are no text, with errors that are not its own: the request was sent.
            raise _unheard_of(error) from error
        return Reply(answer.data, is_replayed(_lower(answer.headers)))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]


def gateway_error(error: stripe.StripeError) -> GatewayError:
    """What an exception of the SDK says about the money. One that we do not know says nothing."""
    for kind in type(error).__mro__:
        if kind in MEANINGS:
            return MEANINGS[kind](error)
    return _unheard_of(error)


def _answered(error: stripe.StripeError) -> GatewayError:
    """Stripe's answer decides, read from the body: the exceptions lose the code for some statuses."""
    if error.http_status is None:
        return _unheard_of(error)
    return error_from(error.http_status, error.json_body, _lower(error.headers or {}))


def _network(error: stripe.StripeError) -> GatewayError:
    cause = error.__cause__
    if isinstance(cause, NOTHING_WAS_SENT):
        return Unreachable("the payment provider can't be reached", code="unreachable")
    code = "timeout" if isinstance(cause, TimeoutError) else "connection_lost"
    return Silent("the payment provider did not answer", code=code)


def _unheard_of(error: Exception) -> GatewayError:
    return Silent("the payment provider's answer can't be read", code=f"sdk_{type(error).__name__}")


MEANINGS: Final[Mapping[type, Callable[[stripe.StripeError], GatewayError]]] = {
    # Without a whole answer.
    stripe.APIConnectionError: _network,
    # With an answer of the API that we use (v1): 4xx and 5xx, and bodies that are no JSON.
    stripe.APIError: _answered,
    stripe.AuthenticationError: _answered,
    stripe.CardError: _answered,
    stripe.IdempotencyError: _answered,
    stripe.InvalidRequestError: _answered,
    stripe.PermissionError: _answered,
    stripe.RateLimitError: _answered,
}
"""The SDK's exceptions that calls of ours can raise. All others are of other interfaces (v2, webhooks)."""


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
