"""Colours of a merchant, changed as little as it takes to be read (WCAG 2.2, success criterion 1.4.3)."""

from functools import cache
from typing import Final

from attrs import frozen

READABLE: Final = 4.5
"""The least contrast of text."""

BLACK: Final = "#000000"
WHITE: Final = "#ffffff"


@frozen(kw_only=True)
class Mode:
    """The colours of the style sheet in light or dark mode on which links and labels stand.

    Attributes:
        paper: the background of boxes, with which the colour's tint is mixed.
        page: the background of the page.
        end: the colour towards which a colour is changed until it can be read on both.
    """

    paper: str
    page: str
    end: str


LIGHT: Final = Mode(paper="#ffffff", page="#f5f6f4", end=BLACK)
DARK: Final = Mode(paper="#1c2422", page="#141a19", end=WHITE)
"""The values of the style sheet; a test compares them."""

_TINT: Final = 0.1
"""The part of the colour in the background of a chosen element."""


@cache
def style_of(colour: str) -> str:
    """Return the rules of a style sheet for a page with buttons in ``colour`` (``#rrggbb``)."""
    light, dark = _accent(colour, LIGHT), _accent(colour, DARK)
    button = f"--button: {colour}; --on-button: {text_on(colour)};"
    return (
        f":root {{ --accent: {light}; --tint: {mixed(LIGHT.paper, light, _TINT)}; {button} }} "
        f"@media (prefers-color-scheme: dark) "
        f"{{ :root {{ --accent: {dark}; --tint: {mixed(DARK.paper, dark, _TINT)}; {button} }} }}"
    )


def text_on(colour: str) -> str:
    """Return black or white, whichever is easier to read on ``colour``. The better of both has at least 4.58 to 1."""
    return max((BLACK, WHITE), key=lambda text: contrast(text, colour))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2, contrast ratio)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mixed(colour: str, other: str, share: float) -> str:
    """Return ``colour`` with the given share, from 0 to 1, of the ``other``."""
    pairs = zip(_parts(colour), _parts(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _accent(colour: str, mode: Mode) -> str:
    """Return the colour of links: ``colour``, mixed with ``mode.end`` until it can be read on every background."""
    candidates = (mixed(colour, mode.end, step / 20) for step in range(21))
    return next(each for each in candidates if _is_readable(each, mode))


def _is_readable(colour: str, mode: Mode) -> bool:
    grounds = (mode.paper, mode.page, mixed(mode.paper, colour, _TINT))
    return all(contrast(colour, ground) >= READABLE for ground in grounds)


def _parts(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    shares = (part / 255 for part in _parts(colour))
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
