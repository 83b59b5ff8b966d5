"""How the emulated Opentrons speaks HTTP: version headers, envelopes, error bodies, multipart uploads.

Sources: facts/robots.md section 3; the vendor's robot-server (versioning.py, errors/error_responses.py).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.wire.http_server import HttpReply, HttpRequest


class ApiError(Exception):
    """An answer of the robot that says no."""

    def __init__(self, status: int, error_id: str, title: str, detail: str, *, code: str = "4000") -> None:
        super().__init__(detail)
        self.status, self.error_id, self.title, self.detail, self.code = status, error_id, title, detail, code

    def reply(self) -> HttpReply:
        """Return it in the envelope of today's routes."""
        error = {"id": self.error_id, "title": self.title, "detail": self.detail, "errorCode": self.code}
        return envelope(self.status, {"errors": [error]})


class LegacyError(ApiError):
    """The same in the envelope of the oldest routes."""

    def reply(self) -> HttpReply:
        """Return message and errorCode."""
        return envelope(self.status, {"message": self.detail, "errorCode": self.code})


def invalid(detail: str) -> ApiError:
    """Return the answer to a request that fails the server's own validation."""
    return ApiError(422, "InvalidRequest", "Invalid Request", detail)


def envelope(status: int, body: Mapping[str, Any]) -> HttpReply:
    """Return a JSON answer."""
    return HttpReply(status, json.dumps(body).encode())


def one(data: Any, *, status: int = 200, links: Mapping[str, Any] | None = None) -> HttpReply:
    """Return one resource."""
    return envelope(status, {"data": data, **({} if links is None else {"links": links})})


def many(
    data: Sequence[Any],
    *,
    cursor: int = 0,
    total: int | None = None,
    links: Mapping[str, Any] | None = None,
    status: int = 200,
) -> HttpReply:
    """Return several resources; total None: these are all."""
    meta = {"cursor": cursor, "totalLength": len(data) if total is None else total}
    return envelope(status, {"data": data, "meta": meta, **({} if links is None else {"links": links})})


def body_data(request: HttpRequest, *, is_optional: bool = False) -> dict[str, Any]:
    """Return what is under "data" of a JSON body; raises ApiError 422 for anything else."""
    if is_optional and not request.body:
        return {}
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise invalid("JSON decode error") from None
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        raise invalid("value is not a valid dict: /data")
    return data


def json_object(text: str | None, what: str) -> dict[str, Any]:
    """Return a form field that holds a JSON object; {} for None; raises ApiError 422."""
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise invalid(f"{what} is not a JSON object")
    return value


def query_int(request: HttpRequest, name: str, *, least: int) -> int | None:
    """Return a number of the query; None when it is not there; raises ApiError 422."""
    text = request.query.get(name, [None])[-1]
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,9}", text) or int(text) < least:
        raise invalid(f"query {name}: {text!r} is not a whole number of at least {least}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of the HTTP API that a robot's software speaks."""

    least: int = 2
    most: int = 4


def negotiated(request: HttpRequest, versions: Versions) -> int:
    """Return the version to answer in; raises ApiError 422 without a header, 400 for one that is too old."""
    asked = request.headers.get("opentrons-version")
    if asked is None:
        raise invalid("Field required: header Opentrons-Version")
    if asked == "*":
        return versions.most
    if not re.fullmatch(r"-?[0-9]{1,9}", asked):
        raise invalid("header Opentrons-Version is no number and no '*'")
    if int(asked) < versions.least:
        detail = f"The requested API version '{asked}' is not supported; at least '{versions.least}' is."
        raise ApiError(400, "OutdatedAPIVersion", "Requested HTTP API version no longer supported", detail)
    return min(int(asked), versions.most)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart form."""

    name: str
    filename: str | None
    """None for a plain field."""
    content: bytes


def form_parts(request: HttpRequest) -> list[Part]:
    """Return the parts of a multipart form (RFC 7578); raises ApiError 422 for what is none."""
    found = re.search(r'multipart/form-data\s*;.*boundary="?([^";,\s]+)', request.headers.get("content-type", ""))
    if found is None:
        raise invalid("Field required: multipart/form-data")
    pieces = (b"\r\n" + request.body).split(b"\r\n--" + found[1].encode("latin-1", "replace"))
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise ApiError(400, "BadRequest", "Bad Request", "There was an error parsing the body")
    return [part for piece in pieces[1:-1] if (part := _part(piece)) is not None]


def _part(piece: bytes) -> Part | None:
    head, blank, content = piece.partition(b"\r\n\r\n")
    text = head.decode("utf-8", "replace")
    name = re.search(r'\bname="([^"]*)"', text)
    filename = re.search(r'\bfilename="([^"]*)"', text)
    if not blank or name is None:
        return None
    return Part(name[1], None if filename is None else filename[1], content)


def field_text(parts: Sequence[Part], name: str) -> str | None:
    """Return a plain field of a form; None when it is not there."""
    found = [part.content.decode("utf-8", "replace") for part in parts if part.name == name and part.filename is None]
    return found[-1] if found else None
