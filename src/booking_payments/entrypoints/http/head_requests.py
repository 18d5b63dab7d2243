"""HEAD: the answer to GET without its body, wherever there is a GET (RFC 9110, 9.1 and 9.3.2). Load balancers and
monitors ask so."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


def headed_app(app: ASGIApp) -> ASGIApp:
    """``app``, which handles HEAD as GET: the same access rules, rate limits and headers apply."""

    async def headed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        await app({**scope, "method": "GET"}, receive, without_body)

    return headed


def allowing_head(allow: bytes) -> bytes:
    """The value of an ``Allow`` header, with HEAD beside its GET."""
    methods = allow.split(b", ")
    return b", ".join([*methods, b"HEAD"]) if b"GET" in methods and b"HEAD" not in methods else allow
