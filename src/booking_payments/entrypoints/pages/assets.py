"""Style sheet, scripts and icon, served from the package. Their URLs contain a hash of the content, so browsers may
cache them without a limit.
"""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from litestar import Request, get
from litestar.response import Response

from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.problems import RequestRefused

KINDS: Final[Mapping[str, str]] = {
    "pages.css": "text/css",
    "checkout.js": "text/javascript",
    "stripe.js": "text/javascript",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_CONTENT: Final = {name: (files("booking_payments.entrypoints.pages") / "static" / name).read_bytes() for name in KINDS}
_VERSIONS: Final = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in _CONTENT.items()}


def address_of(name: str) -> str:
    """Return the URL path of the file with this name."""
    return f"/pages/{_VERSIONS[name]}/{name}"


@get("/pages/{version:str}/{name:str}", opt={"access": Access.PUBLIC}, include_in_schema=False)
async def asset(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Serve one file. A request for another version gets the current one, so that a page loaded before a deployment
    still works.
    """
    name, version = request.path_params["name"], request.path_params["version"]
    if name not in KINDS:
        raise RequestRefused(404, "not_found", "there is no such file")
    kept = "public, max-age=31536000, immutable" if version == _VERSIONS[name] else "no-cache"
    return Response(content=_CONTENT[name], media_type=KINDS[name], headers={"Cache-Control": kept})
