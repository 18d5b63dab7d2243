from collections.abc import Iterator

import pytest

from tests.integration.pages.site import Site, open_site


@pytest.fixture
def site() -> Iterator[Site]:
    with open_site() as opened:
        yield opened


@pytest.fixture
def console(site: Site) -> Site:
    """A site with an operator logged in, who stays so."""
    site.log_in()
    site.stays = "olga"
    return site
