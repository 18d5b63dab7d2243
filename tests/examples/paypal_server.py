"""The provider of ``examples/paypal_gateway.py``, in memory: orders, refunds, disputes, events, request ids."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
Answer = tuple[int, Any]


class PayPalServer:
    """Responds like the provider. ``approve`` and ``finish_refund`` act for its customer and its bank."""

    def __init__(self) -> None:
        self.orders: dict[str, Json] = {}
        self.refunds: dict[str, Json] = {}
        self.disputes: dict[str, Json] = {}
        self.events: list[Json] = []
        self._answered: dict[str, tuple[Any, Answer]] = {}

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None, request_id: str | None) -> Answer:
        """Handle a request. A repeated request id repeats its response, and is refused with another request."""
        asked = (method, path, body)
        if request_id is not None and request_id in self._answered:
            before, (status, answer) = self._answered[request_id]
            return (status, {**answer, "replayed": True}) if before == asked else (422, {"name": "REQUEST_ID_REUSED"})
        answer = self._answer(method, path, dict(body or {}))
        if request_id is not None and answer[0] < 400:
            self._answered[request_id] = (asked, answer)
        return answer

    async def close(self) -> None:
        """Nothing is open."""

    async def certificate(self, url: str) -> bytes:
        return b"the key of the certificate"

    def approve(self, order_id: str) -> None:
        """The customer approves an order."""
        self.orders[order_id]["status"] = "APPROVED"

    def finish_refund(self, refund_id: str) -> None:
        """The money of a refund has arrived."""
        self.refunds[refund_id]["status"] = "COMPLETED"
        self._happens("PAYMENT.CAPTURE.REFUNDED", self.refunds[refund_id])

    def dispute(self, order_id: str) -> Json:
        """The customer's bank opens a dispute over all of an order."""
        made = self._made("PP-D-", self.disputes, {"order_id": order_id, "amount": self.orders[order_id]["amount"]})
        made.update(status="OPEN", reason="MERCHANDISE_OR_SERVICE_NOT_RECEIVED")
        self._happens("CUSTOMER.DISPUTE.CREATED", made)
        return made

    def _answer(self, method: str, path: str, body: Json) -> Answer:
        url = urlsplit(path)
        parts, query = url.path.strip("/").split("/")[1:], parse_qs(url.query)
        match (method, *parts):
            case "POST", "checkout", "orders":
                return 201, dict(self._ordered(body))
            case _, "checkout", "orders", order_id, *verb:
                return self._of_order(self.orders.get(order_id), verb[0] if verb else "")
            case "POST", "payments", "captures", order_id, "refund":
                return self._refund(order_id, body)
            case "GET", "payments", "captures", order_id, "refunds":
                return 200, [dict(each) for each in self.refunds.values() if each["order_id"] == order_id]
            case "GET", "payments", "refunds", refund_id:
                return self._one(self.refunds.get(refund_id))
            case "GET", "customer", "disputes", dispute_id:
                return self._one(self.disputes.get(dispute_id))
            case "GET", *_ if "capture" in query:
                return 200, [each for each in self.disputes.values() if each["order_id"] == query["capture"][0]]
            case "GET", *names:
                return 200, self._listed("/".join(names), query)
        raise AssertionError(path)

    def _listed(self, name: str, query: Mapping[str, list[str]]) -> list[Json]:
        everything = {
            "checkout/orders": self.orders.values(),
            "payments/refunds": self.refunds.values(),
            "customer/disputes": self.disputes.values(),
            "notifications/webhooks-events": self.events,
        }[name]
        begin, end = datetime.fromisoformat(query["start_time"][0]), query.get("end_time")
        until = datetime.fromisoformat(end[0]) if end else datetime.max.replace(tzinfo=UTC)
        return [dict(each) for each in everything if begin <= datetime.fromisoformat(each["create_time"]) < until]

    def _ordered(self, body: Json) -> Json:
        status = "PAYER_ACTION_REQUIRED" if body.pop("payer_action") else "CREATED"
        made = self._made("5O", self.orders, {**body, "status": status})
        made["approve"] = f"https://paypal.example/checkoutnow?token={made['id']}"
        return made

    def _of_order(self, order: Json | None, verb: str) -> Answer:
        if order is None:
            return 404, {"name": "RESOURCE_NOT_FOUND"}
        if verb == "void":
            if order["status"] == "COMPLETED":
                return 422, {"name": "ORDER_NOT_OPEN"}
            order["status"] = "VOIDED"
            self._happens("CHECKOUT.ORDER.VOIDED", order)
        elif verb == "confirm":
            if order["status"] not in ("CREATED", "PAYER_ACTION_REQUIRED"):
                return 422, {"name": "ORDER_NOT_OPEN"}
            order["status"] = "PAYER_ACTION_REQUIRED"
        elif verb == "capture":
            order["status"] = "COMPLETED"
            self._happens("PAYMENT.CAPTURE.COMPLETED", order)
        return 200, dict(order)

    def _refund(self, order_id: str, body: Json) -> Answer:
        order = self.orders.get(order_id)
        if order is None:
            return 404, {"name": "RESOURCE_NOT_FOUND"}
        if order["status"] != "COMPLETED":
            return 422, {"name": "ORDER_NOT_PAID"}
        mine = [each for each in self.refunds.values() if each["order_id"] == order_id]
        given = sum(float(each["amount"]["value"]) for each in mine)
        left = float(order["amount"]["value"]) - given
        if left <= 0:
            return 422, {"name": "CAPTURE_FULLY_REFUNDED"}
        if float(body["amount"]["value"]) > left:
            return 422, {"name": "REFUND_AMOUNT_EXCEEDED"}
        made = self._made("RF", self.refunds, {**body, "order_id": order_id, "status": "PENDING"})
        return 201, dict(made)

    def _one(self, found: Json | None) -> Answer:
        return (200, dict(found)) if found else (404, {"name": "RESOURCE_NOT_FOUND"})

    def _made(self, prefix: str, among: dict[str, Json], body: Json) -> Json:
        made = {**body, "id": f"{prefix}{len(among) + 1:08}", "create_time": datetime.now(UTC).isoformat()}
        among[made["id"]] = made
        return made

    def _happens(self, kind: str, about: Json) -> None:
        event = {"id": f"WH-{len(self.events) + 1}", "event_type": kind, "resource": dict(about)}
        self.events.append({**event, "create_time": datetime.now(UTC).isoformat()})
