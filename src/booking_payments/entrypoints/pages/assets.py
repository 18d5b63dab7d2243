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
from booking_payments.entrypoints.pages.gateway_forms import is_current, script
from booking_payments.runtime.services import Services

KINDS: Final[Mapping[str, str]] = {
    "pages.css": "text/css",
    "checkout.js": "text/javascript",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_CONTENT: Final = {name: (files("booking_payments.entrypoints.pages") / "static" / name).read_bytes() for name in KINDS}
_VERSIONS: Final = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in _CONTENT.items()}


KEPT: Final = "public, max-age=31536000, immutable"


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
    kept = KEPT if version == _VERSIONS[name] else "no-cache"
    return Response(content=_CONTENT[name], media_type=KINDS[name], headers={"Cache-Control": kept})


@get("/pages/{version:str}/{gateway:str}/{name:str}", opt={"access": Access.PUBLIC}, include_in_schema=False)
async def gateway_script(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return a script of the checkout form of one gateway, as ``asset`` does."""
    of = request.path_params
    services: Services = request.app.state["services"]
    form = services.forms.get(of["gateway"])
    if form is None:
        raise RequestRefused(404, "not_found", "there is no such file")
    content = script(form, of["name"])
    kept = KEPT if is_current(of["version"], content) else "no-cache"
    return Response(content=content, media_type="text/javascript", headers={"Cache-Control": kept})
