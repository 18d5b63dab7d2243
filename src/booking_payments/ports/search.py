"""How texts are searched: the same in every storage.

Letters count the same in any case, in composed and decomposed form, and in full and half width; any white space counts
as one space. A text of three or more characters is found anywhere. One or two characters are found where a word begins,
behind a space or a sign: anywhere, they would be in nearly every booking.
"""

import re
from collections.abc import Iterable
from typing import Final
from unicodedata import normalize

SHORTEST: Final = 3
"""Characters from which on a text is found inside a word, too; an index of three characters finds it."""

_BEFORE_A_WORD: Final = " " * (SHORTEST - 1)
"""Stands before each word, so that the beginning of a word, even of one character, is a text of ``SHORTEST``."""

_BEHIND_A_SIGN: Final = re.compile(r"(?:[^\w ]|_)([^\W_]{1,2})")
"""The beginning of a word inside another: ``17`` in ``r-17``."""


def searchable(parts: Iterable[str | None]) -> str:
    """What a text is looked for in: a line for each part that is not empty, and for each beginning of a word that has
    no space before it."""
    lines = [words for part in parts if part and (words := _words(part))]
    begin = dict.fromkeys(beginning for line in lines for beginning in _BEHIND_A_SIGN.findall(line))
    return "\n".join(_BEFORE_A_WORD + line for line in [*lines, *begin])


def looked_for(text: str) -> str:
    """What has to be in a ``searchable`` text for ``text`` to be found: empty, or of at least ``SHORTEST``
    characters."""
    words = _words(text)
    return _BEFORE_A_WORD + words if 0 < len(words) < SHORTEST else words


def _words(text: str) -> str:
    if text.isascii():
        return _BEFORE_A_WORD.join(text.lower().split())
    # Normalized twice: case folding may take a text apart again.
    folded = normalize("NFKC", normalize("NFKC", text).casefold())
    return _BEFORE_A_WORD.join(folded.split())
