"""The settings of bank transfers."""

from attrs import frozen

from booking_payments.ports.gateway_settings import GatewaySettings, at_most, setting


@frozen(kw_only=True)
class BankTransferSettings(GatewaySettings):
    """The settings of bank transfers.

    Attributes:
        pay_to: the account that customers send money to, as they read it.
    """

    pay_to: str = setting(
        "BANK_TRANSFER_PAY_TO",
        "must be text of at most 500 characters: the account that customers send money to",
        read=at_most(500),
        missing="set it to the account that customers send their money to",
    )
