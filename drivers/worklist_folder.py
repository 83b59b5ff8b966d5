"""The work-list folder driver: for liquid handlers whose own software takes a work list and leaves a result file.

::

    out/first.r0.run-0.gwl        the work list; appears whole, once for ever; the software may take it away
    in/first.r0.run-0.csv         the result, left by the software; also first.r0.run-0_2026-11-25.csv
    lab/logs/worklist-folder/     what was handed over, and how it ended (drivers.worklist_folder_memory)

A result is believed only when it fits the plates, wells and volumes of its own list; one that does not, or that lacks
rows, is taken for half-written for a while, and then a person is asked. What it says goes to the ledger as it is:
volumes below the plan, transfers that failed, and which were never begun.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drivers.in_time import LOOKUP_S, POLL_S, InTime
from drivers.key_files import file_name, write_whole
from drivers.ports import Report, RunLoad, Status
from drivers.worklist_folder_memory import Handed, Unreadable, WorklistMemory
from drivers.worklist_folder_options import WorklistOptions, read_options
from nextplate.errors import DataError, NeedsOperator, PlanError, SettingsError, Transient
from protocols.model import Protocol
from protocols.worklists.account import as_result
from protocols.worklists.formats import read_result, write_list
from protocols.worklists.tables import MAX_BYTES

_OWNER = ".nextplate-lab-id"


def make(kind: str, options: Mapping[str, Any], lab: Path) -> "WorklistFolder":
    """Make the driver of one liquid handler.

    Raises:
        SettingsError: another kind of device, an option is missing or wrong, a folder is not there or another lab's.
    """
    if kind != "liquid-handler":
        raise SettingsError(f"a work-list folder drives a liquid-handler, not a {kind}")
    made = read_options(options, lab)
    try:
        _claim(made.out, lab)
    except OSError as error:
        raise SettingsError(f"the folder {made.out} cannot be used: {error}") from error
    return WorklistFolder(made, WorklistMemory(lab / "logs" / "worklist-folder"))


def _claim(out: Path, lab: Path) -> None:
    """Tie an exchange to one lab for ever: another lab's results would pass for this one's."""
    mine, theirs = lab / "logs" / "lab-id", out / _OWNER
    if not mine.exists():
        mine.parent.mkdir(parents=True, exist_ok=True)
        write_whole(mine, uuid.uuid4().hex.encode())
    if not theirs.exists():
        write_whole(theirs, mine.read_bytes())
    if theirs.read_bytes().strip() != mine.read_bytes().strip():
        raise SettingsError(f"the folder {out} belongs to another lab, or to one that was deleted; name a fresh folder")


class _Unclear(Exception):
    """Nobody can tell how the command stands; the text says why and what to do."""


class WorklistFolder:
    """A liquid handler behind two folders (drivers.ports.Device)."""

    def __init__(
        self, options: WorklistOptions, memory: WorklistMemory, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._options, self._memory, self._monotonic = options, memory, monotonic
        self._seen: dict[str, tuple[bytes, float]] = {}
        """Digest of a result that is not final, by list, and since when it has looked like that."""
        self._since: dict[str, float] = {}
        """Since when a list has been waited for."""
        self._share = InTime(f"the folder {options.out} or {options.back}")

    def submit(self, command: Any, key: str) -> None:
        """Hand the work list over; a key that was handed over before changes nothing.

        Raises:
            Transient: a folder cannot be reached or written, or an earlier list has no result yet.
            NeedsOperator: not a load, a protocol that was changed, or one that the format cannot say.
        """
        self._share.submit(key, lambda: self._submit(command, key))

    def poll(self, key: str) -> Report:
        """Tell how the command stands, by its record and its result file."""
        return self._share.report(key, lambda: self._stand(key), POLL_S)

    def lookup(self, key: str) -> Report:
        """Tell how the command stands after a crash; the files are the only memory, so this is poll."""
        return self._share.report(key, lambda: self._stand(key), LOOKUP_S)

    def _submit(self, command: Any, key: str) -> None:
        name = file_name(key)
        if self._memory.has(key) and not os.path.lexists(self._hidden(name)):
            return
        if gone := self._gone():
            raise Transient(f"there is no folder {gone}; is the share mounted?")
        if not isinstance(command, RunLoad):
            raise NeedsOperator(f"the liquid-handler does not take a {type(command).__name__}")
        if busy := self._busy_with(key):
            raise Transient(f"the liquid-handler is busy with {busy}, which has no result in {self._options.back} yet")
        if self._memory.has(key):
            self._show(name)  # A crash came between the record and the list's appearance.
            return
        protocol = _approved(command)
        try:
            written = write_list(self._options.list_format, protocol, command.load, self._options.settings)
        except (PlanError, DataError) as error:
            raise NeedsOperator(f"{error}; nothing was handed over") from error
        if found := self._results(name) or ([self._place(name)] if os.path.lexists(self._place(name)) else []):
            raise NeedsOperator(f"{found[0]} is there before {key} was ever handed over; take it away")
        try:
            write_whole(self._hidden(name), written.text.encode("ascii"))
            self._memory.remember(key, protocol, command.load, written.names)
        except OSError as error:
            raise Transient(f"cannot write the work list {name}: {error}") from error
        self._show(name)

    def _stand(self, key: str) -> Report:
        name = file_name(key)
        try:
            if self._memory.has(key) and (report := self._memory.ended(name)) is not None and not self._gone():
                return report
            if gone := self._gone():
                raise _Unclear(f"there is no folder {gone}; is the share mounted?")
            if not self._memory.has(key) or os.path.lexists(self._hidden(name)):
                return Report(Status.NOT_FOUND)
            return self._stands(self._memory.handed(key))
        except (_Unclear, Unreadable) as error:
            return Report(Status.UNKNOWN, message=str(error))

    def _hidden(self, name: str) -> Path:
        # the name that write_whole leaves it under is another one: this file is whole when it is there
        return self._options.out / f".{name}{self._options.suffix}.ready"

    def _place(self, name: str) -> Path:
        return self._options.out / f"{name}{self._options.suffix}"

    def _show(self, name: str) -> None:
        """Let the robot's software see the list: one rename, which happens or does not."""
        if not self._share.is_wanted:
            raise Transient(f"{self._options.out} answered too late; {self._place(name).name} was not handed over")
        try:
            self._hidden(name).rename(self._place(name))
        except OSError as error:
            raise Transient(f"cannot write the work list {self._place(name)}: {error}") from error

    def _gone(self) -> Path | None:
        return next((folder for folder in (self._options.out, self._options.back) if not folder.is_dir()), None)

    def _busy_with(self, key: str) -> str | None:
        """Return another key whose list has no end; what is UNKNOWN is a person's."""
        others = (other for other in self._memory.open_keys() if other != key)
        return next((other for other in others if self._stand(other).status is Status.RUNNING), None)

    def _stands(self, handed: Handed) -> Report:
        now = self._monotonic()
        since = self._since.setdefault(handed.name, now)
        found = self._results(handed.name)
        if len(found) > 1:
            raise _Unclear(f"{len(found)} results: {', '.join(p.name for p in found[:3])}; leave the right one only")
        if not found:
            if self._options.patience_s and now - since > self._options.patience_s:
                raise _Unclear(
                    f"no result for {handed.key} in {self._options.back} for {(now - since) / 3600:.1f} h; look at the "
                    "robot and leave its result there"
                )
            return Report(Status.RUNNING)
        return self._read(handed, found[0], now)

    def _results(self, name: str) -> list[Path]:
        """Return files of which the name begins with that of the list, and with no longer name of another list."""
        longer = [other for other in self._memory.names() if other != name and other.startswith(name)]
        return [
            path
            for path in sorted(self._options.back.iterdir())
            if path.is_file() and _is_of(path.name, name) and not any(_is_of(path.name, other) for other in longer)
        ]

    def _read(self, handed: Handed, path: Path, now: float) -> Report:
        raw = b""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise DataError(f"{path.stat().st_size} bytes are too many")
            raw = path.read_bytes()
            account = read_result(self._options.result_format, raw, handed.load, handed.names, self._options.settings)
            status, result, message = as_result(account)
        except (OSError, DataError) as error:
            status, result, message = "unknown", {}, f"{error}; correct it, or look at the robot"
        if status == "unknown":
            return self._half_written(handed, path, raw, result, message, now)
        report = Report(Status(status), result, message)
        try:
            self._memory.end(handed.name, report)
        except OSError as error:
            raise _Unclear(f"the end of {handed.key} cannot be recorded: {error}") from error
        return report

    def _half_written(
        self, handed: Handed, path: Path, raw: bytes, result: dict[str, Any], message: str, now: float
    ) -> Report:
        digest = hashlib.sha256(raw).digest()
        before, since = self._seen.get(handed.name, (b"", now))
        if before != digest:
            since = now
        self._seen[handed.name] = digest, since
        if now - since < self._options.settle_s:
            return Report(Status.RUNNING)
        return Report(Status.UNKNOWN, result, f"the result {path} leaves open what happened: {message}")


def _is_of(file: str, name: str) -> bool:
    # Names of lists differ even where case is ignored, and some software writes all capitals.
    rest = file[len(name) :]
    return file.casefold().startswith(name.casefold()) and rest[:1] in (".", "_")


def _approved(command: RunLoad) -> Protocol:
    where = command.protocol_path
    try:
        protocol = Protocol.from_json(where.read_text(encoding="utf-8"))
    except (OSError, DataError, UnicodeDecodeError) as error:
        raise NeedsOperator(f"cannot read protocol {where}: {error}; nothing was handed over") from error
    if protocol.digest != command.protocol_digest:
        approved = command.protocol_digest[:12]
        raise NeedsOperator(f"protocol {where} is not the one approved: digest {protocol.digest[:12]}, not {approved}")
    return protocol
