"""The routes of the API as declared, and their OpenAPI document, for tests of all routes."""

from functools import cache
from typing import Any, Final

from attrs import frozen
from litestar import Litestar
from litestar.routes import HTTPRoute

from booking_payments.entrypoints.http.app import api, api_document
from booking_payments.entrypoints.http.auth import Access, moves_money

Json = dict[str, Any]


@frozen(kw_only=True)
class Declared:
    """A route: ``path`` as in the contract; ``operation`` its name in the audit log if it moves money."""

    method: str
    path: str
    access: Access
    operation: str | None
    moves_money: bool


@cache
def declared(*, sandboxed: bool) -> list[Declared]:
    """Return all routes of the API, without pages and documentation."""
    routes = Litestar(route_handlers=api(sandboxed=sandboxed), openapi_config=None, logging_config=None).routes
    handlers = [(route, each) for route in routes if isinstance(route, HTTPRoute) for each in route.route_handlers]
    for route, each in handlers:
        declares = "access" in each.opt or each.http_methods == {"OPTIONS"}
        assert declares, f"{route.path_format} does not declare who may call it: for_token(Access....)"
    return [
        Declared(
            method=method,
            path=contract_path(route.path_format),
            access=handler.opt["access"],
            operation=handler.opt.get("operation"),
            moves_money=moves_money(handler.opt),
        )
        for route, handler in handlers
        for method in sorted(handler.http_methods - {"OPTIONS"})
    ]


def contract_path(path: str) -> str:
    """Return a path of the document as the contract writes it, with a trailing slash. Both forms are served."""
    return f"{path}/" if path.startswith("/api/") else path


DOCUMENT: Final[Json] = api_document(sandboxed=True)
OPERATIONS: Final[dict[tuple[str, str], Json]] = {
    (method.upper(), contract_path(path)): operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
