"""Static files of the pages: only the intended files are served, and pages load no others."""

import re
from importlib.resources import files

import pytest

from booking_payments.entrypoints.pages.assets import KINDS, address_of
from tests.integration.pages.site import Site

PACKAGE = files("booking_payments.entrypoints.pages")


@pytest.mark.parametrize("name", KINDS)
def test_every_file_is_served_with_its_type_and_may_be_cached(site: Site, name: str) -> None:
    answer = site.get(address_of(name))

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(KINDS[name])
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content == (PACKAGE / "static" / name).read_bytes()


def test_a_url_of_another_version_is_not_cached(site: Site) -> None:
    assert site.get("/pages/0000/pages.css").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["../assets.py", "assets.py", "%2e%2e%2fassets.py", "secrets"])
def test_other_files_are_not_served(site: Site, name: str) -> None:
    assert site.get(f"/pages/0000/{name}").status_code == 404


def test_every_file_in_the_folder_is_served() -> None:
    assert {each.name for each in (PACKAGE / "static").iterdir()} == set(KINDS)


def test_pages_load_only_files_of_the_package(site: Site) -> None:
    site.log_in()
    for path in ("/console/", "/console/payments", "/console/login", "/checkout/x"):
        loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', site.get(path).text)

        assert loaded
        assert all(each.startswith("/pages/") for each in loaded)


def test_every_colour_is_defined_once_for_each_mode() -> None:
    """Every variable of the style sheet has a value in light and dark mode."""
    sheet = (PACKAGE / "static" / "pages.css").read_text()
    used = set(re.findall(r"var\((--[\w-]+)\)", sheet))
    by_day, by_night = (set(re.findall(r"^\s*(--[\w-]+):", part, re.MULTILINE)) for part in _modes(sheet))

    assert used <= by_day
    assert by_day == by_night


def _modes(sheet: str) -> tuple[str, str]:
    day, _, rest = sheet.partition("@media (prefers-color-scheme: dark)")
    return day, rest.partition("\n}\n")[0]


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


PAIRS = [
    ("ink", "page"),
    ("ink", "paper"),
    ("soft", "page"),
    ("soft", "paper"),
    ("soft", "tint"),
    ("accent", "paper"),
    ("accent", "page"),
    ("accent", "tint"),
    ("on-accent", "accent"),
    ("good", "good-tint"),
    ("bad", "bad-tint"),
    ("warn", "warn-tint"),
    ("bad", "paper"),
    ("ink", "bad-tint"),
    ("ink", "tint"),
]


@pytest.mark.parametrize("mode", [0, 1], ids=["day", "night"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_has_enough_contrast(mode: int, text: str, ground: str) -> None:
    """At least 4.5 to 1 (WCAG 2.2, success criterion 1.4.3)."""
    part = _modes((PACKAGE / "static" / "pages.css").read_text())[mode]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part))
    lights = sorted((_luminance(colours[text]), _luminance(colours[ground])))

    assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5
