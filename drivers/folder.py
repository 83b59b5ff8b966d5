"""The folder driver: requests and replies as JSON files, for devices with software of their own and for people.

::

    exchange/
      requests/first.r0.run-0.json      written by nextplate, whole or absent, never changed afterwards
      requests/first.r0.run-0.files/    for run-load: protocol.json and the vendor's protocol file
      replies/first.r0.run-0.json       written by the lab's software or a person, any time later

The request file is the device's memory: a key is NOT_FOUND exactly when no request file of its name exists.
A reply is believed only when it answers that very request and says what the command promises; everything else
is UNKNOWN, so that a person is asked: no reply can crash the controller or pass for a success that it is not.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drivers.folder_reply import Request, WrongReply, judged, parsed, shown
from drivers.in_time import LOOKUP_S, POLL_S, InTime
from drivers.key_files import file_name, write_whole
from drivers.options import checked
from drivers.ports import AcquirePlate, FetchPlate, MovePlates, Report, RunLoad, Status, StorePlate
from drivers.proven import proven_file, proven_with
from nextplate.errors import DataError, NeedsOperator, SettingsError, Transient
from protocols.model import DeckLoad, Protocol

FORMAT_VERSION = 1
SETTLE_S = 60.0
"""A reply that is no JSON is taken for half-written; after this long without a change a person is asked."""
_TAKES: Mapping[str, tuple[type, ...]] = {
    "liquid-handler": (RunLoad,),
    "plate-mover": (MovePlates,),
    "incubator": (StorePlate, FetchPlate),
    "imager": (AcquirePlate,),
}


def make(kind: str, options: Mapping[str, Any], lab: Path) -> "FolderDevice":
    """Make the driver of one device; ``exchange`` is a folder, relative to the lab or absolute.

    Raises:
        SettingsError: an option is missing, unknown or wrong, or the folders are not there.
    """
    exchange = lab / checked(options, {"exchange": str})["exchange"]
    folders = [exchange / "requests", exchange / "replies"]
    if exchange.absolute().is_relative_to(lab.absolute()):
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        # never made outside the lab: an empty mount point would be taken for an exchange without requests
        if not folder.is_dir():
            raise SettingsError(f"there is no folder {folder}; mount the share it lies on, or make it: mkdir {folder}")
    try:
        _claim(exchange, lab)
    except OSError as error:
        raise SettingsError(f"the exchange folder {exchange} cannot be used: {error}") from error
    return FolderDevice(exchange, lab, kind)


def _claim(exchange: Path, lab: Path) -> None:
    """Tie an exchange to one lab for ever: an older lab's requests and replies would pass for this one's."""
    mine, theirs = lab / "logs" / "lab-id", exchange / "lab-id"
    if not mine.exists():
        mine.parent.mkdir(parents=True, exist_ok=True)
        write_whole(mine, uuid.uuid4().hex.encode())
    is_used = theirs.exists() or any((exchange / "requests").glob("*.json"))
    if is_used and not (theirs.exists() and theirs.read_bytes().strip() == mine.read_bytes().strip()):
        raise SettingsError(
            f"the exchange folder {exchange} belongs to another lab, or to one that was deleted; name a fresh folder"
        )
    if not is_used:
        write_whole(theirs, mine.read_bytes())


class _Unclear(Exception):
    """Nobody can tell how the command stands; the text says why and what to do."""


class FolderDevice:
    """One device behind an exchange folder (drivers.ports.Device); several may share the folder."""

    def __init__(self, exchange: Path, lab: Path, kind: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._requests, self._replies = exchange / "requests", exchange / "replies"
        self._lab, self._kind, self._monotonic = lab, kind, monotonic
        self._unparsed: dict[str, tuple[object, float]] = {}
        """What could not be parsed, by file name, and since when it has looked like that."""
        self._ended: set[str] = set()
        """Names of request files that cannot make this device busy."""
        self._share = InTime(f"the exchange folder {exchange}")

    def submit(self, command: Any, key: str) -> None:
        """Write the request; a key that was written before changes nothing.

        Raises:
            Transient: the folder cannot be written, or an earlier request has no reply yet.
            NeedsOperator: not a command for this kind of device, or its protocol cannot be read.
        """
        self._share.submit(key, lambda: self._submit(command, key))

    def poll(self, key: str) -> Report:
        """Tell how the command stands, by its request and reply files."""
        return self._share.report(key, lambda: self._stand(key), POLL_S)

    def lookup(self, key: str) -> Report:
        """Tell how the command stands after a crash; the files are the only memory, so this is poll."""
        return self._share.report(key, lambda: self._stand(key), LOOKUP_S)

    def _submit(self, command: Any, key: str) -> None:
        name = file_name(key)
        if os.path.lexists(self._requests / f"{name}.json"):
            return
        if not self._requests.is_dir():
            raise Transient(f"there is no folder {self._requests}; is the share mounted?")
        if not isinstance(command, _TAKES[self._kind]):
            raise NeedsOperator(f"the {self._kind} does not take a {type(command).__name__}")
        body, files = _described(command, name)
        if os.path.lexists(self._replies / f"{name}.json"):
            raise NeedsOperator(f"{self._replies} holds a reply to {key}, which was never asked for; take it away")
        if busy := self._busy_with():
            raise Transient(f"the {self._kind} is busy with {busy}, which has no reply in {self._replies} yet")
        try:
            self._write(name, key, body, files)
        except OSError as error:
            raise Transient(f"cannot write request {name}.json into {self._requests}: {error}") from error

    def _stand(self, key: str) -> Report:
        try:
            request = self._read_request(file_name(key))
            if request is None:
                return Report(Status.NOT_FOUND)
            if request.key != key:
                raise _Unclear(f"the request file {request.name}.json is for key {shown(request.key)}")
            return self._answered(request)
        except _Unclear as error:
            return Report(Status.UNKNOWN, message=str(error))

    def _write(self, name: str, key: str, body: dict[str, Any], files: Mapping[str, bytes]) -> None:
        """Write the files beside the request, then the request itself, each whole or absent."""
        beside = self._requests / f"{name}.files"
        for file, content in files.items():
            beside.mkdir(exist_ok=True)
            write_whole(beside / file, content)
        request = {"format": FORMAT_VERSION, "key": key, "device": self._kind, "command": body}
        text = json.dumps({**request, "digest": _digest(request)}, indent=1)
        if not self._share.is_wanted:
            raise Transient(f"{self._requests} answered too late; request {name}.json was not written")
        write_whole(self._requests / f"{name}.json", text.encode())

    def _busy_with(self) -> str | None:
        """Return the key of a request for this device that has no final reply; what is UNKNOWN is a person's."""
        for path in sorted(self._requests.glob("*.json")):
            if path.name in self._ended:
                continue
            try:
                request = self._read_request(path.stem)
            except _Unclear:
                continue
            is_mine = request is not None and request.device == self._kind
            if request is not None and is_mine and self._stand(request.key).status is Status.RUNNING:
                return request.key
            self._ended.add(path.name)
        return None

    def _read_request(self, name: str) -> Request | None:
        path = self._requests / f"{name}.json"
        try:
            body = json.loads(path.read_bytes())
            digest = body.pop("digest")
            request = Request(name, body["key"], body["device"], body["command"])
        except FileNotFoundError:
            if self._requests.is_dir():
                return None
            raise _Unclear(f"there is no folder {self._requests}; is the share mounted?") from None
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise _Unclear(f"the request file {path} cannot be read ({error!r})") from error
        if _digest(body) != digest:
            raise _Unclear(f"the request file {path} was changed after nextplate wrote it")
        return request

    def _answered(self, request: Request) -> Report:
        path = self._replies / f"{request.name}.json"
        raw: object = None
        try:
            raw = path.read_bytes()
            reply = parsed(raw)
        except FileNotFoundError:
            return Report(Status.RUNNING)
        except (OSError, ValueError, RecursionError) as error:
            return self._half_written(path, raw if raw is not None else str(error), error)
        except WrongReply as error:
            raise _unclear_reply(path, error) from error
        self._unparsed.pop(path.name, None)
        try:
            return judged(request, reply, self._lab)
        except WrongReply as error:
            raise _unclear_reply(path, error) from error

    def _half_written(self, path: Path, seen: object, error: Exception) -> Report:
        """Wait for the rest of a reply that does not parse, as long as it may still be being written."""
        now = self._monotonic()
        before, since = self._unparsed.get(path.name, (None, now))
        if before != seen:
            since = now
        self._unparsed[path.name] = (seen, since)
        if now - since < SETTLE_S:
            return Report(Status.RUNNING)
        raise _Unclear(f"the reply {path} is no JSON and has not changed for {SETTLE_S:.0f} s ({shown(str(error))})")


def _unclear_reply(path: Path, error: WrongReply) -> _Unclear:
    return _Unclear(f"the reply {path} cannot be believed: {error}; correct it, or look at the device")


def _digest(request: Mapping[str, Any]) -> str:
    """Return the sha256 of a request's canonical JSON, its own digest left out."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _described(command: Any, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Write a command as JSON, and name the files that go beside it."""
    match command:
        case RunLoad():
            return _load_described(command, name)
        case MovePlates(moves):
            return {"verb": "move", "moves": [asdict(move) for move in moves]}, {}
        case StorePlate(barcode):
            return {"verb": "store", "barcode": barcode}, {}
        case FetchPlate(barcode):
            return {"verb": "fetch", "barcode": barcode}, {}
        case _:
            return {"verb": "acquire", "barcode": command.barcode}, {}


def _load_described(command: RunLoad, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        files = {"protocol.json": command.protocol_path.read_bytes()}
        protocol = Protocol.from_json(files["protocol.json"].decode())
    except (OSError, DataError, UnicodeDecodeError) as error:
        raise NeedsOperator(f"cannot read protocol {command.protocol_path}: {error}; nothing was asked for") from error
    rendered_file = proven_file(command)
    if command.rendered_path is not None and rendered_file is not None:
        files[command.rendered_path.name] = rendered_file
    files |= proven_with(command)
    load = _load_of(protocol, command)
    rendered = None if command.rendered_path is None else f"{name}.files/{command.rendered_path.name}"
    body: dict[str, Any] = {
        "verb": "run-load",
        "protocol_digest": command.protocol_digest,
        "load": command.load,
        "robot": protocol.robot,
        "pipette": protocol.pipette,
        "mount": protocol.mount,
        "files": {"protocol": f"{name}.files/protocol.json", "rendered": rendered},
        "deck": [asdict(item) for item in load.deck],
        "transfers": [asdict(transfer) for transfer in load.transfers],
    }
    if command.tables:
        body["files"]["tables"] = {table.name: f"{name}.files/{table.path.name}" for table in command.tables}
    if command.offsets is not None:
        body["files"]["offsets"] = f"{name}.files/{command.offsets.path.name}"
    return body, files


def _load_of(protocol: Protocol, command: RunLoad) -> DeckLoad:
    where = command.protocol_path
    if protocol.digest != command.protocol_digest:
        approved = command.protocol_digest[:12]
        raise NeedsOperator(f"protocol {where} is not the one approved: digest {protocol.digest[:12]}, not {approved}")
    for load in protocol.loads:
        if load.index == command.load:
            return load
    raise NeedsOperator(f"protocol {where} has no load {command.load}; it has {len(protocol.loads)}")
