"""Text of the command line that is stored: it must hold no card number."""

import click
import pytest
from click.testing import CliRunner

from booking_payments.entrypoints.cli import main

CARD = "4242 4242 4242 4242"
CALLS = (
    ["payments", "refund", "order-1", "--note", CARD],
    ["payments", "settle", "order-1", "--amount", "1.00", "--how", "waived", "--note", CARD],
    ["payments", "record", "order-1", "--amount", "1.00", "--kind", "cash", "--reference", CARD],
    ["bookings", "cancel", "order-1", "--reason", CARD],
    ["bookings", "amend", "order-1", "--title", CARD],
    ["bookings", "amend", "order-1", "--item", f"adult:1:1.00:{CARD}"],
    ["bookings", "amend", "order-1", "--metadata", f"row={CARD}"],
    ["events", "cancel", "evening", "--reason", CARD],
)
LOOKED_UP_OR_CHECKED = {
    *("amount", "currency", "cursor", "host"),
    *("channel", "event_id", "event_ids", "issuer", "message_ids", "name", "scope", "subject", "type_"),
}
"""Parameters of plain text: amounts and the like are read as such, ids name something that is there already."""


@pytest.mark.parametrize("arguments", CALLS, ids=lambda given: " ".join(given[:2]) + " " + given[-2])
def test_a_card_number_is_refused_and_not_repeated(arguments: list[str]) -> None:
    refused = CliRunner().invoke(main, arguments)

    assert refused.exit_code == 2
    assert "this looks like a card number; card data goes to the payment provider only" in refused.output
    assert CARD not in refused.output


def test_every_text_that_is_stored_has_a_type_that_refuses_card_numbers() -> None:
    plain = {
        parameter.name for command in _commands(main) for parameter in command.params if parameter.type is click.STRING
    }

    assert plain <= LOOKED_UP_OR_CHECKED


def _commands(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    with click.Context(command) as context:
        names = command.list_commands(context)
        found = [command.get_command(context, name) for name in names]
    return [each for child in found if child is not None for each in _commands(child)]
