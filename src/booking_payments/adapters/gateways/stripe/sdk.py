"""The transport over Stripe's official SDK, which authenticates, encodes, sends and pools connections.

The SDK's own retries are disabled: only ``application.gateway_call`` retries, with the stored key.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import anyio
import stripe

from booking_payments.adapters.gateways.stripe.answers import error_from, is_replayed
from booking_payments.adapters.gateways.stripe.connections import NOTHING_WAS_SENT, Connections
from booking_payments.adapters.gateways.stripe.gateway import API_VERSION, TransportResponse
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.adapters.network import Network
from booking_payments.ports.gateway import GatewayError, NotSent, OutcomeAmbiguous

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
"""Time limit for opening a connection."""
CALL_TIMEOUT: Final = timedelta(seconds=15)
"""Time limit of one try, so that several tries fit into the lease of an operation."""


class SdkTransport:
    """A transport to Stripe's API.

    Args:
        secret_key: the API key.
        api_base: base URL of the API; None: Stripe's own.
        call_timeout: time limit of one request.
        network: proxies and certificates; None: from the environment.
        http: replaces the HTTP client.
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

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
        options = {"idempotency_key": idempotency_key} if idempotency_key else {}
        try:
            with anyio.fail_after(self._call_timeout_s):
                answer = await self._client.raw_request_async(method.lower(), path, **params, **options)
        except stripe.StripeError as error:
            raise gateway_error(error) from error
        except TimeoutError as error:
            raise OutcomeAmbiguous("the payment provider did not answer in time", code="timeout") from error
        except Exception as error:
            # For a body that is not text the SDK raises errors other than its own; the request was sent.
            raise _unheard_of(error) from error
        return TransportResponse(answer.data, is_replayed(_lower(answer.headers)))

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]


def gateway_error(error: stripe.StripeError) -> GatewayError:
    """Return the port's error for an exception of the SDK; ``OutcomeAmbiguous`` for an unknown one."""
    for kind in type(error).__mro__:
        if kind in MEANINGS:
            return MEANINGS[kind](error)
    return _unheard_of(error)


def _answered(error: stripe.StripeError) -> GatewayError:
    """Return the error for Stripe's response, read from its body: for some statuses the exceptions lack the code."""
    if error.http_status is None:
        return _unheard_of(error)
    return error_from(error.http_status, error.json_body, _lower(error.headers or {}))


def _network(error: stripe.StripeError) -> GatewayError:
    cause = error.__cause__
    if isinstance(cause, NOTHING_WAS_SENT):
        return NotSent("the payment provider can't be reached", code="unreachable")
    code = "timeout" if isinstance(cause, TimeoutError) else "connection_lost"
    return OutcomeAmbiguous("the payment provider did not answer", code=code)


def _unheard_of(error: Exception) -> GatewayError:
    return OutcomeAmbiguous("the payment provider's answer can't be read", code=f"sdk_{type(error).__name__}")


MEANINGS: Final[Mapping[type, Callable[[stripe.StripeError], GatewayError]]] = {
    # Without a complete response.
    stripe.APIConnectionError: _network,
    # With a response of the v1 API: 4xx and 5xx, and bodies that are not JSON.
    stripe.APIError: _answered,
    stripe.AuthenticationError: _answered,
    stripe.CardError: _answered,
    stripe.IdempotencyError: _answered,
    stripe.InvalidRequestError: _answered,
    stripe.PermissionError: _answered,
    stripe.RateLimitError: _answered,
}
"""The SDK's exceptions for the API calls of this library. The others belong to other APIs (v2, webhooks)."""


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
