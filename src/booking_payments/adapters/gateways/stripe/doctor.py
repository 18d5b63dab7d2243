"""What ``doctor`` says of Stripe: the key, its rights, and the webhook endpoints of the account."""

from collections.abc import Sequence

from booking_payments.adapters.gateways.stripe.settings import StripeSettings
from booking_payments.ports.gateway import Gateway, GatewayError, Misconfigured, ObjectNotFound
from booking_payments.ports.gateway_plugin import Check


async def examine(settings: StripeSettings, gateway: Gateway) -> Sequence[Check]:
    """Return the checks of the key, and with a valid one those of the account."""
    key = await _key(settings, gateway)
    return [key, *(await _account(settings) if key.ok else ())]


async def _key(settings: StripeSettings, gateway: Gateway) -> Check:
    """Check the key by reading an intent that cannot exist: 404 or a missing permission shows a valid key."""
    mode = "live mode: real money moves" if settings.livemode else "test mode: no money moves"
    try:
        await gateway.retrieve_intent("pi_doctor")
    except ObjectNotFound:
        return Check("gateway", True, f"stripe, {mode}")
    except Misconfigured as error:
        if error.forbidden:
            return Check("gateway", True, f"stripe, {mode}")
        return Check("gateway", False, f"stripe refuses the key ({error.code})", "check STRIPE_SECRET_KEY")
    except GatewayError as error:
        return Check("gateway", False, f"stripe cannot be reached ({error.code})", "check the network, STRIPE_API_BASE")
    return Check("gateway", False, "stripe knows an intent that can't exist", "check STRIPE_API_BASE")


async def _account(settings: StripeSettings) -> Sequence[Check]:
    from booking_payments.adapters.gateways.stripe.examination import examine as examined
    from booking_payments.adapters.gateways.stripe.sdk import SdkTransport
    from booking_payments.adapters.network import Network

    transport = SdkTransport(settings.secret_key, settings.api_base, network=Network.of_environment())
    try:
        found = await examined(transport, livemode=settings.livemode)
    except GatewayError as error:
        return [Check("rights", False, f"stripe cannot be asked ({error.code})", "run doctor again in a moment")]
    finally:
        await transport.close()
    return [Check(each.name, each.ok, each.detail, each.remedy) for each in found]
