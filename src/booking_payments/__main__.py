"""``python -m booking_payments``: the command line."""

from booking_payments.entrypoints.cli import main

if __name__ == "__main__":
    main()
