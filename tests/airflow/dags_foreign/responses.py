"""Responses that are not Kaleyra's, or only partly: the rows of the second table of docs/failures.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

from tests.support.gateway import Interception

FORWARDED, NOT_FORWARDED = "yes", "no"
BOTH = (FORWARDED, NOT_FORWARDED)
LATER = ("Retry-After: 1",)


@dataclass(frozen=True)
class Row:
    """One foreign response, to a message that the gateway forwarded or did not forward.

    :param name: as the document names the response.
    """

    index: int
    name: str
    forwarded: str
    interception: Interception

    @property
    def key(self) -> tuple[str, str]:
        """Find the row in the document."""
        return self.name, self.forwarded

    @property
    def of_single_send(self) -> str:
        return f"+9197{self.index:08}"

    @property
    def of_campaign(self) -> str:
        return f"+9198{self.index:08}"

    @property
    def beside_it(self) -> str:
        """Somebody else in the same campaign, to whom nothing is intercepted."""
        return f"+9199{self.index:08}"


def http(status: int, body: bytes | str, *headers: str, length: int | None = None) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    reason = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(content) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def html(status: int, *headers: str) -> bytes:
    title = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><hr>nginx</body></html>"
    return http(status, page, "Content-Type: text/html", *headers)


def text(status: int, body: str, *headers: str) -> bytes:
    return http(status, body, "Content-Type: text/plain", *headers)


def in_json(status: int, body: object, *headers: str) -> bytes:
    return http(status, json.dumps(body), "Content-Type: application/json", *headers)


def enveloped(status: int, code: object, *headers: str, **more: object) -> bytes:
    """A response in the form of Kaleyra's."""
    message = "Something is wrong"
    return in_json(status, {"code": code, "message": message, "data": {}, "error": {"error": message}} | more, *headers)


STRAY = in_json(202, {"code": "WA202", "message": "Accepted", "data": {"message_id": "AX-of-nobody"}, "error": {}})

_RESPONSES: list[tuple[str, bytes, tuple[str, ...]]] = [
    # 4xx: the message was not processed.
    ("400, HTML", html(400), (NOT_FORWARDED,)),
    ("400, JSON, numeric code", enveloped(400, 400), (NOT_FORWARDED,)),
    ("400, envelope with `WA4000`", enveloped(400, "WA4000"), (NOT_FORWARDED,)),
    ("401, HTML", html(401), (NOT_FORWARDED,)),
    ("403, HTML", html(403), (NOT_FORWARDED,)),
    ("403, JSON, code `FORBIDDEN`", enveloped(403, "FORBIDDEN"), (NOT_FORWARDED,)),
    ("404, JSON", in_json(404, {"message": "no Route matched with those values"}), (NOT_FORWARDED,)),
    ("406, HTML", html(406), (NOT_FORWARDED,)),
    ("407, HTML", html(407, "Proxy-Authenticate: Basic"), (NOT_FORWARDED,)),
    ("413, HTML", html(413), (NOT_FORWARDED,)),
    ("421, text", text(421, "Misdirected Request"), (NOT_FORWARDED,)),
    ("422, JSON", in_json(422, {"detail": [{"loc": ["body"], "msg": "field required"}]}), (NOT_FORWARDED,)),
    ("425, text", text(425, "Too Early"), (NOT_FORWARDED,)),
    # 4xx of a gateway that gave up waiting.
    ("408, HTML", html(408), BOTH),
    ("499, empty", http(499, b""), BOTH),
    # Not now.
    ("429, HTML", html(429), (NOT_FORWARDED,)),
    ("429, JSON, numeric code, `Retry-After: 1`", enveloped(429, 429, *LATER), (NOT_FORWARDED,)),
    ("429, text, `Retry-After: 3600`", text(429, "local_rate_limited", "Retry-After: 3600"), (NOT_FORWARDED,)),
    ("429, envelope with `WA429`", enveloped(429, "WA429"), (NOT_FORWARDED,)),
    ("503, HTML, `Retry-After: 1`", html(503, *LATER), (NOT_FORWARDED,)),
    ("503, JSON, code `503`, `Retry-After: 3600`", enveloped(503, "503", "Retry-After: 3600"), (NOT_FORWARDED,)),
    # Redirects.
    ("302, HTML, to a login page", html(302, "Location: https://login.example.com/"), (NOT_FORWARDED,)),
    # 5xx.
    ("500, HTML", html(500), BOTH),
    ("500, envelope with `wa500`", enveloped(500, "wa500"), BOTH),
    ("502, HTML", html(502), BOTH),
    ("502, JSON, code `502`", enveloped(502, "502"), BOTH),
    ("502, Kaleyra's envelope as text", in_json(502, {"message": json.dumps({"code": "WA500"})}), BOTH),
    ("502, Kaleyra's envelope within another", in_json(502, {"error": {"code": "WA500", "message": "m"}}), BOTH),
    ("502, two codes", http(502, '{"code": "BAD_GATEWAY", "code": "WA500", "message": "m"}'), BOTH),
    ("502, JSON that breaks off", http(502, '{"code": "WA500", "mess', length=500), BOTH),
    ("502, Kaleyra's `WA500`", enveloped(502, "WA500"), (NOT_FORWARDED,)),
    ("503, text", text(503, "upstream connect error or disconnect/reset before headers"), BOTH),
    ("503, HTML, `Retry-After: soon`", html(503, "Retry-After: soon"), BOTH),
    ("504, HTML", html(504), BOTH),
    ("504, JSON, code `GATEWAY_TIMEOUT`", enveloped(504, "GATEWAY_TIMEOUT"), BOTH),
    ("504, HTML, `Retry-After: 1`", html(504, *LATER), BOTH),
    ("504, HTML, after 103 Early Hints", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + html(504), BOTH),
    ("520, HTML", html(520), BOTH),
    # 2xx.
    ("200, HTML", html(200), BOTH),
    ("200, JSON without an id", in_json(200, {"status": "ok", "code": 0}), BOTH),
    ("200, JSON, code `EXPIRED` and an `id`", in_json(200, {"code": "EXPIRED", "id": "request-1"}), BOTH),
    ("202, envelope with `E777` and an error", enveloped(202, "E777"), BOTH),
    ("204, empty", http(204, b""), BOTH),
    ("200, Kaleyra's `WA500` and an `id`", enveloped(200, "WA500", id="request-1"), (NOT_FORWARDED,)),
    ("200, id in a list", in_json(200, {"data": [{"message_id": "A\x00X1\u2028"}]}), (FORWARDED,)),
    # A second response on the same connection, which belongs to no message.
    ("429, HTML, and a stray 202", html(429) + STRAY, (NOT_FORWARDED,)),
    ("502, HTML, and a stray 202", html(502) + STRAY, BOTH),
    ("504, HTML, and a late 408", html(504) + html(408), BOTH),
]
_EACH_WAY = [(name, response, way) for name, response, ways in _RESPONSES for way in ways]
ROWS = [
    Row(index, name, way, Interception(response, way == FORWARDED, closes="breaks off" in name))
    for index, (name, response, way) in enumerate(_EACH_WAY)
]
