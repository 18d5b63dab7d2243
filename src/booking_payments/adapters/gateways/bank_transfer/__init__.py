"""Bank transfers, settled by hand: an operator records the transfers that arrive on the merchant's account.

No external system is called, so the gateway's state is in two tables (``store``). ``gateway`` implements the port over
them, ``operations`` contains the operator's actions. An operator's action reaches the payment in the same way as a
gateway event after an outage: the gateway lists it, and it is processed.
"""

from booking_payments.adapters.gateways.bank_transfer.events import BankTransferEvents
from booking_payments.adapters.gateways.bank_transfer.gateway import METHOD, BankTransferGateway
from booking_payments.adapters.gateways.bank_transfer.operations import BankTransferOperations
from booking_payments.adapters.gateways.bank_transfer.store import TransferStore
from booking_payments.adapters.gateways.bank_transfer.tables import BANK_TABLES, MANUAL_TABLES

__all__ = [
    "BANK_TABLES",
    "MANUAL_TABLES",
    "METHOD",
    "BankTransferEvents",
    "BankTransferGateway",
    "BankTransferOperations",
    "TransferStore",
]
