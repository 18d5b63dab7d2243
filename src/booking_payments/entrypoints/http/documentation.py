"""Where the OpenAPI document is served, and the page to read and try the API: Swagger UI, served by ourselves."""

from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.params import FromPath
from litestar.response import Response

from booking_payments.entrypoints.http import openapi
from booking_payments.entrypoints.http.auth import Access
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.runtime.settings import Settings

UI_FILES: Final[Mapping[str, str]] = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
"""The files of Swagger UI that the page loads, with their media types."""
INIT: Final = b'window.ui = SwaggerUIBundle({url: "/schema/openapi.json", dom_id: "#ui", deepLinking: true});\n'
"""The script that starts Swagger UI, served apart: the content security policy forbids scripts in the page itself."""

_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>booking-payments: HTTP API</title>
<link rel="icon" href="/schema/ui/favicon-32x32.png">
<link rel="stylesheet" href="/schema/ui/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/schema/ui/swagger-ui-bundle.js"></script>
<script src="/schema/ui/init.js"></script>
</body>
</html>
"""
_UI_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class _Document(JsonRenderPlugin):
    """The document, finished and encoded once for each app."""

    def __init__(self) -> None:
        super().__init__(path="/openapi.json", media_type="application/json")  # type: ignore[arg-type] # takes any text
        self._encoded: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._encoded is None:
            self._encoded = msgspec.json.encode(openapi.finished(openapi_schema, request.app))
        return self._encoded


class _Page(OpenAPIRenderPlugin):
    """Swagger UI without a word to any other host. Litestar's own plugin has a script in the page itself, which our
    content security policy forbids, and an icon from elsewhere."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return _PAGE

    def receive_router(self, router: Router) -> None:
        router.register(_part)


def ui_folder() -> Path:
    """Return the folder with the files of Swagger UI, which the package ``flask-swagger-ui`` brings.

    The package is not imported, since that would load Flask.
    """
    return Path(str(distribution("flask-swagger-ui").locate_file("flask_swagger_ui"))) / "dist"


@get("/ui/{name:str}")
async def _part(name: FromPath[str]) -> Response[bytes]:
    headers = {"Cache-Control": "max-age=86400"}
    if name == "init.js":
        return Response(INIT, media_type="text/javascript", headers=headers)
    if name not in UI_FILES:
        raise RequestRefused(404, "not_found", "no such file; the documentation is at /schema")
    return Response((ui_folder() / name).read_bytes(), media_type=UI_FILES[name], headers=headers)


def _with_policy(response: Response[Any]) -> Response[Any]:
    if response.media_type == "text/html":
        response.headers["Content-Security-Policy"] = _UI_POLICY
    return response


def documentation(settings: Settings) -> OpenAPIConfig:
    """Document and page at ``/schema``."""
    described = openapi.config(url=str(settings.public_url or "/"), plugins=[_Page(), _Document()])
    described.openapi_router = Router(
        "/schema",
        route_handlers=[],
        opt={"access": Access.PUBLIC},
        include_in_schema=False,
        after_request=_with_policy,
    )
    return described
