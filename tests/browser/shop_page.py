"""An empty page of a shop, with a separate origin."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class ShopPage(BaseHTTPRequestHandler):
    """The same page at every address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><html lang=en><title>Shop</title><main><h1>Shop</h1><div id=payment-element>")

    def log_message(self, *_: object) -> None:
        """Skip the check of the page, which is not under test here."""


@contextmanager
def serving_shop() -> Iterator[str]:
    """The origin of the page. Browsers do not let pages of other machines connect to this one."""
    with ThreadingHTTPServer(("127.0.0.1", 0), ShopPage) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
