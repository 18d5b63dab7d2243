"""Bank transfers, settled by hand: the customer sends the money to the house's account, and an operator says when it
is there.

Nobody outside is asked, so the gateway's side is a pair of tables (``store``). ``gateway`` is the port over them,
``desk`` what the operator does. What the operator says reaches the payments as an event does after an outage: the
gateway lists it, and it is taken in.
"""

from booking_payments.adapters.bank_transfer.desk import TransferDesk
from booking_payments.adapters.bank_transfer.events import BankTransferEvents
from booking_payments.adapters.bank_transfer.gateway import METHOD, BankTransferGateway
from booking_payments.adapters.bank_transfer.manual import ManualGateway
from booking_payments.adapters.bank_transfer.store import TransferStore
from booking_payments.adapters.bank_transfer.tables import BANK_TABLES, MANUAL_TABLES

__all__ = [
    "BANK_TABLES",
    "MANUAL_TABLES",
    "METHOD",
    "BankTransferEvents",
    "BankTransferGateway",
    "ManualGateway",
    "TransferDesk",
    "TransferStore",
]
