"""The language of the pages that customers see: texts from gettext catalogues, amounts and times by Babel.

English is the language of the source, so it needs no catalogue. A folder of the installation may hold further
catalogues, and ones that replace single texts of ours (``CHECKOUT_CATALOGUES``).
"""

import re
from collections.abc import Iterable, Iterator
from copy import copy
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import cache, lru_cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from attrs import field, frozen
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_datetime_format, get_timezone_gmt
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import format_percent
from babel.support import Translations

from booking_payments.domain.money import Money

OWN: Final = Path(__file__).with_name("languages")
"""The folder of our catalogues: one file for each language, named like ``de.po`` or ``pt_BR.po``."""

SOURCE: Final = "en"
"""The language of the texts in the source."""

_TAG: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,8}")
_WEIGHT: Final = re.compile(r"[qQ]=([01](?:\.[0-9]{0,3})?)")
_LONGEST_HEADER: Final = 200


def N_(text: str) -> str:  # noqa: N802 - gettext's name for it
    """Return ``text``. It marks a text that is translated where it is shown, so that it gets into the catalogues."""
    return text


@frozen(kw_only=True)
class Language:
    """How one customer reads a page.

    Attributes:
        locale: how amounts and times are written.
        zone: the time zone in which times are shown.
        catalogue: the translated texts.
        is_source: the texts are those of the source.
    """

    locale: Locale
    zone: tzinfo = UTC
    catalogue: NullTranslations = field(factory=NullTranslations, repr=False)
    is_source: bool = True

    @property
    def tag(self) -> str:
        """The language tag (BCP 47) for the page's ``lang``."""
        return str(self.locale).replace("_", "-")

    @property
    def direction(self) -> str:
        """``ltr``, or ``rtl`` for a language that is written from right to left."""
        return str(self.locale.text_direction)

    def gettext(self, text: str, **values: object) -> str:
        """Return the translation of ``text``, with ``values`` for its ``%(name)s``."""
        translated = self.catalogue.gettext(text)
        return translated % values if values else translated

    def ngettext(self, one: str, many: str, count: int) -> str:
        """Return the translation for ``count``, which is put in for ``%(count)s``."""
        return self.catalogue.ngettext(one, many, count) % {"count": count}

    def money(self, amount: Money) -> str:
        """Format an amount as the locale writes it, with all its decimals: ``1.250,00 €``."""
        # CLDR has fewer decimals for some currencies, such as dinars, and would drop a zero at the end.
        pattern = copy(self.locale.currency_formats["standard"])
        pattern.frac_prec = (amount.currency.exponent, amount.currency.exponent)
        code = amount.currency.code.upper()
        return str(pattern.apply(Decimal(amount.major()), self.locale, currency=code, currency_digits=False))

    def moment(self, at: datetime) -> str:
        """Format a time with its weekday, to the minute, in the customer's time zone, which is named."""
        local = at.astimezone(self.zone)
        date = format_date(local, "full", locale=self.locale)
        time = format_time(local, "short", locale=self.locale)
        # The pattern of a locale is a format with {0} for the time and {1} for the date; quotes enclose its own words.
        joined = str(get_datetime_format("medium", locale=self.locale)).replace("'", "").format(time, date)
        name = local.tzname() or ""
        zone = name if name.isalpha() else get_timezone_gmt(local, locale=self.locale)
        return f"{joined}\N{NO-BREAK SPACE}{zone}"

    def percent(self, share: float) -> str:
        """Format a share from 0 to 1: ``50 %``, with as many decimals as it has, at most two."""
        return str(format_percent(round(share, 4), locale=self.locale, decimal_quantization=False))


ENGLISH: Final = Language(locale=Locale(SOURCE))


def language_for(tags: Iterable[str], zone: tzinfo = UTC, folder: Path | None = None) -> Language:
    """Return the first language in ``tags`` (BCP 47) that has a catalogue, here or in ``folder``; else English."""
    for tag in tags:
        found = _matched(tag, folder)
        if found is not None:
            locale, name = found
            return Language(
                locale=locale, zone=zone, catalogue=catalogue_of(name, folder), is_source=locale.language == SOURCE
            )
    return Language(locale=ENGLISH.locale, zone=zone, catalogue=catalogue_of(SOURCE, folder))


def zone_named(name: str | None, otherwise: tzinfo) -> tzinfo:
    """Return the IANA time zone ``name``; ``otherwise`` for None and for a zone that is not known (any more)."""
    try:
        return ZoneInfo(name) if name else otherwise
    except (KeyError, OSError, ValueError):
        return otherwise


def tags_accepted(header: str) -> list[str]:
    """Return the language tags of an ``Accept-Language`` header, the preferred one first (RFC 9110, section 12.5.4)."""
    weighed = list[tuple[float, str]]()
    for part in header[:_LONGEST_HEADER].split(","):
        tag, _, more = part.strip().partition(";")
        weight = _WEIGHT.fullmatch(more.strip()) if more else None
        if _TAG.fullmatch(tag.strip()) and (weight or not more):
            weighed.append((float(weight[1]) if weight else 1.0, tag.strip()))
    return [tag for weight, tag in sorted(weighed, key=lambda each: -each[0]) if weight]


@lru_cache(maxsize=512)
def _matched(tag: str, folder: Path | None) -> tuple[Locale, str] | None:
    """Return the locale of a tag and the name of its catalogue; None when there is none for its language."""
    parts = tag.split("-")
    # Extensions, such as the calendar in ja-JP-u-ca-japanese, begin with a single letter, and change no text.
    main = parts[: next((at for at, part in enumerate(parts) if at and len(part) == 1), None)]
    for text in ("-".join(main), "-".join(main[:2]), main[0]):
        try:
            locale = Locale.parse(text, sep="-")
        except (UnknownLocaleError, ValueError, TypeError):
            continue
        for name in (str(locale), locale.language):
            if name == SOURCE or name in catalogues(folder):
                return locale, name
    return None


@cache
def catalogues(folder: Path | None) -> frozenset[str]:
    """Return the names of all catalogues, ours and those in ``folder``."""
    return frozenset(path.stem for each in (OWN, folder) if each for path in each.glob("*.po"))


@cache
def catalogue_of(name: str, folder: Path | None) -> NullTranslations:
    """Return a catalogue. Texts that the file in ``folder`` lacks come from ours, and then from the source."""
    found = NullTranslations()
    for base in (name.partition("_")[0], name):
        for path in (OWN / f"{base}.po", folder / f"{base}.po" if folder else None):
            if path and path.is_file():
                loaded = _loaded(path)
                loaded.add_fallback(found)
                found = loaded
    return found


def wrong_catalogues(folder: Path) -> Iterator[str]:
    """Yield an error text for each unusable catalogue in ``folder``."""
    for path in sorted(folder.glob("*.po")):
        try:
            Locale.parse(path.stem)
            _loaded(path)
            with path.open("rb") as file:
                wrong = list(wrong_placeholders(read_po(file, locale=path.stem)))
        except (UnknownLocaleError, ValueError, PoFileError) as error:
            yield f"{path.name}: {error}"
        else:
            yield from (f"{path.name}: other placeholders than in {text!r}" for text in wrong)


def wrong_placeholders(catalogue: Catalog) -> Iterator[str]:
    """Yield the texts whose translation has other placeholders, or a stray ``%``; missing translations are none."""
    for message in catalogue:
        if isinstance(message.id, str):
            if message.id and message.string and _placeholders(message.id) != _placeholders(str(message.string)):
                yield message.id
        # A language may say "one attempt" in words.
        elif not all(_placeholders(form) <= _placeholders(message.id[1]) for form in message.string or ()):
            yield message.id[0]


def _placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s|%", text))


def _loaded(path: Path) -> NullTranslations:
    """Return the catalogue in a file. Raises ``PoFileError``, ``ValueError`` for one that cannot be read."""
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=path.stem, abort_invalid=True))
    compiled.seek(0)
    return Translations(compiled)
