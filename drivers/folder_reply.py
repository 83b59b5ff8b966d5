"""Judging the replies that a lab's software or a person leaves for the folder driver.

A reply is a JSON object: ``key`` (the request's), ``status`` (running, done, failed), ``result`` (what the command
promises, see drivers.ports), ``message`` (for people), and with running perhaps ``ready_at``.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from drivers.ports import Report, Status


@dataclass(frozen=True, slots=True)
class Request:
    """What a request file says."""

    name: str
    key: str
    device: str
    command: Mapping[str, Any]


class WrongReply(Exception):
    """A reply that parses but does not answer its request."""


def parsed(raw: bytes) -> Any:
    """Parse a reply; a byte order mark and UTF-16, which some Windows tools write, are fine.

    Raises:
        ValueError, RecursionError: no JSON, as of a reply that is half-written.
        WrongReply: JSON that says NaN, or one thing twice.
    """
    return json.loads(raw, parse_constant=_no_number, object_pairs_hook=_no_key_twice)


def judged(request: Request, reply: Any, lab: Path) -> Report:
    """Turn a reply into a report.

    Raises:
        WrongReply: the reply does not answer the request.
    """
    if not isinstance(reply, dict):
        raise WrongReply(f"it is no JSON object but {shown(reply)}")
    if reply.get("key") != request.key:
        raise WrongReply(f"it is for key {shown(reply.get('key'))}, not {request.key}")
    match reply.get("status"):
        case "running":
            return Report(Status.RUNNING, ready_at=_time(reply.get("ready_at")))
        case "done":
            return Report(Status.DONE, _result(request, reply, lab, is_done=True))
        case "failed":
            message = _text(reply.get("message", ""), "message").strip()
            result = _result(request, reply, lab, is_done=False)
            return Report(Status.FAILED, result, message or "failed; the reply says no more")
    raise WrongReply(f"its status is {shown(reply.get('status'))}; it should be running, done or failed")


def _result(request: Request, reply: Mapping[str, Any], lab: Path, *, is_done: bool) -> dict[str, Any]:
    """Take from a result what the command promises, and nothing else."""
    result, command = reply.get("result", {}), request.command
    if not isinstance(result, dict):
        raise WrongReply(f"its result is {shown(result)}, no JSON object")
    match command["verb"]:
        case "run-load":
            transfers = _transfers(command, _promised(result, "transfers"), is_done=is_done)
            return {"transfers": transfers, **_begun(result, transfers)}
        case "move":
            moved = _moved(command, _promised(result, "moved"), is_done=is_done)
            return {"moved": moved} | ({} if is_done else _occupied(command, result, len(moved)))
        case "store":
            return {"slot": _slot(_promised(result, "slot"))} if is_done or "slot" in result else {}
        case "acquire":
            return _readout(result, lab, is_done=is_done)
    return {}


def _promised(result: Mapping[str, Any], name: str) -> Any:
    if name not in result:
        raise WrongReply(f"its result lacks {name!r}")
    return result[name]


def _transfers(command: Mapping[str, Any], told: Any, *, is_done: bool) -> list[list[int]]:
    planned = {t["transfer_id"]: t["volume_nl"] for t in command["transfers"]}
    seen: set[int] = set()
    for item in _list(told, "transfers"):
        if not (isinstance(item, list) and len(item) == 2 and all(type(n) is int for n in item)):
            raise WrongReply(f"transfers holds {shown(item)}; it should be [transfer_id, volume in whole nanolitres]")
        number, volume_nl = item
        if number not in planned or number in seen:
            raise WrongReply(f"transfer {shown(number)} is {'told twice' if number in seen else 'not in this load'}")
        if not 0 <= volume_nl <= planned[number]:
            raise WrongReply(f"transfer {number} moved {shown(volume_nl)} nl; planned were {planned[number]} nl")
        seen.add(number)
    missing = sorted(planned.keys() - seen)
    if is_done and missing:
        raise WrongReply(
            f"it is done but does not tell transfers {shown(missing)}; a transfer left out is told with 0 nl"
        )
    return [list(item) for item in told]


def _begun(result: Mapping[str, Any], transfers: list[list[int]]) -> dict[str, int]:
    """Take the word that nothing was begun; any other is none."""
    if "begun" not in result:
        return {}
    if type(result["begun"]) is not int or result["begun"] != 0 or transfers:
        raise WrongReply(f"begun is {shown(result['begun'])}; it is 0, with no transfers told, or left out")
    return {"begun": 0}


def _moved(command: Mapping[str, Any], told: Any, *, is_done: bool) -> list[str]:
    """Check the barcodes moved: all in order when done, the first ones in order when failed."""
    planned = [move["barcode"] for move in command["moves"]]
    if _list(told, "moved") != planned[: len(told)] or (is_done and len(told) < len(planned)):
        raise WrongReply(f"moved is {shown(told)}; the plates to move, in order, were {shown(planned)}")
    return list(told)


def _occupied(command: Mapping[str, Any], result: Mapping[str, Any], n_moved: int) -> dict[str, list[str]]:
    """Check the word that a plate stands where the next one was to be put; its barcode may be unknown, ""."""
    if "occupied" not in result:
        return {}
    told, target = result["occupied"], command["moves"][min(n_moved, len(command["moves"]) - 1)]["target"]
    is_pair = isinstance(told, list) and len(told) == 2 and all(isinstance(item, str) for item in told)
    if not is_pair or told[0] != target or not told[1].isprintable():
        raise WrongReply(
            f"occupied is {shown(told)}; it is [{target!r}, the barcode that stands there or ''], or left out"
        )
    return {"occupied": list(told)}


def _slot(told: Any) -> str:
    return str(told) if type(told) is int else _text(told, "slot")


def _readout(result: Mapping[str, Any], lab: Path, *, is_done: bool) -> dict[str, Any]:
    """Check the folder of images: inside the lab, and there when done; a failed acquisition need not name one."""
    if not is_done and not {"folder", "images"} & result.keys():
        return {}
    folder, images = _text(_promised(result, "folder"), "folder"), _promised(result, "images")
    path = PurePosixPath(folder)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in folder:
        raise WrongReply(f"its folder {shown(folder)} is not a path inside the lab, relative to it and written with /")
    if type(images) is not int or not int(is_done) <= images <= 10_000_000:
        raise WrongReply(f"its images is {shown(images)}; it should count the images written")
    if is_done and not os.path.isdir(lab / path):  # noqa: PTH112 - False, not an error, for any name at all
        raise WrongReply(f"its folder {shown(folder)} is not there, seen from {lab}")
    return {"folder": str(path), "images": images}


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise WrongReply(f"{name} is {shown(value)}; it should be a list")
    return value


def _text(value: Any, name: str) -> str:
    """Check for text that journal, database and terminal can hold."""
    if not isinstance(value, str) or any("\ud800" <= c <= "\udfff" or (c < " " and c not in "\t\r\n") for c in value):
        raise WrongReply(f"its {name} is {shown(value)}; it should be plain text")
    return value


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        when = datetime.fromisoformat(_text(value, "ready_at"))
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise WrongReply(f"its ready_at is {shown(value)}; it should be like 2026-01-05T17:00:00+00:00")
    return when


def shown(value: Any) -> str:
    """Show a value of a reply in ASCII, cut short, as anything may stand there."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):
        text = "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _no_number(name: str) -> None:
    raise WrongReply(f"it holds {name}, which is no number")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        raise WrongReply(f"it says {shown(next(n for n in names if names.count(n) > 1))} twice")
    return dict(pairs)
