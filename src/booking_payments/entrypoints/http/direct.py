"""The short way of requests that come by the thousand: read the body, run the endpoint, send its reply.

What the framework does for a request (resolving the handler's dependencies, guards, building a response) costs about as
much as a webhook's own work, and a webhook needs none of it: it carries no token, no query and no model. The endpoint,
the frame around it and every answer are the same as on the framework's way.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen
from litestar.types import Receive, Scope

from booking_payments.entrypoints.http.problems import Refused, Reply, too_large
from booking_payments.ports.webhooks import WebhookHeaders

if TYPE_CHECKING:
    from booking_payments.entrypoints.http.endpoint import DirectRunner, Endpoint

_BODY: Final = "http.request"


@define
class DirectRequest:
    """A request as it came in."""

    scope: Scope
    _receive: Receive
    _limit: int
    path_params: Mapping[str, str] = field(factory=dict)
    _headers: WebhookHeaders | None = field(default=None, init=False)

    @property
    def app(self) -> Any:
        return self.scope["litestar_app"]

    @property
    def headers(self) -> WebhookHeaders:
        """By their names, in any case."""
        if self._headers is None:
            pairs = self.scope["headers"]
            self._headers = WebhookHeaders((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
        return self._headers

    async def body(self) -> bytes:
        """All of it. Raises ``Refused`` (413) as soon as it is larger than it may be."""
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            raise too_large()
        parts, size = list[bytes](), 0
        while True:
            message = await self._receive()
            if message["type"] != _BODY:
                raise Refused(400, "bad_request", "the request ended before its body")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit:
                raise too_large()
            if not message.get("more_body"):
                return b"".join(parts)


@frozen
class Route:
    """An endpoint on the short way.

    Attributes:
        template: Its path as the router writes it. Its last part is a parameter, ``{name:str}``.
        body_limit: How large a body may be, in bytes.
        run: What runs it.
        parameter: The name of that parameter.
    """

    template: str
    body_limit: int
    run: "DirectRunner"
    parameter: str

    async def reply(self, scope: Scope, receive: Receive) -> Reply:
        """What the endpoint answers. Raises ``Refused``."""
        scope["path_template"] = self.template
        given = {self.parameter: _last(scope["path"])[1]}
        request = DirectRequest(scope, receive, self.body_limit, given)
        return await self.run(request, scope["litestar_app"].state["services"])


@frozen
class Direct:
    """The endpoints on the short way, by method and path without its last part, which is a parameter."""

    _routes: Mapping[tuple[str, str], Route]

    @classmethod
    def of(cls, declared: "Iterable[Endpoint]") -> "Direct":
        routes: dict[tuple[str, str], Route] = {}
        for each in declared:
            if each.direct is not None:
                parent, last = _last(each.route)
                parameter = last.strip("{}").partition(":")[0]
                routes[each.method, parent] = Route(each.route, each.body_limit, each.direct, parameter)
        return cls(routes)

    def find(self, scope: Scope) -> Route | None:
        """The endpoint that the request is for; None where the framework has to look."""
        return self._routes.get((str(scope.get("method")), _last(scope["path"])[0]))


def _last(path: str) -> tuple[str, str]:
    """A path without its last part, and that part: ``/api/webhooks`` and ``stripe`` of ``/api/webhooks/stripe/``."""
    parent, _, last = path.rstrip("/").rpartition("/")
    return parent, last
