"""What is promised is owed until it went back; what was deferred is sent once; nothing goes out beyond the bound."""

from typing import Any

from hypothesis import given, settings

from booking_payments.domain.lifecycle import DisputeStatus
from tests.unit.domain.stories import ANYTHING, TERMS, Story, Terms, tell

D = DisputeStatus


@given(TERMS, ANYTHING)
@settings(max_examples=1500)
def test_whatever_happens_our_requests_keep_the_bound_and_the_books_hold_together(terms: Terms, steps: Any) -> None:
    story = Story(terms)
    tell(story, steps)
