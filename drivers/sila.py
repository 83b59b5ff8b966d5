"""A SiLA 2 server as a device of the lab (extra ``sila``); facts/robots.md section 6.

::

    driver = "sila2"
    options = { address = "10.0.0.7", port = 50052, root_certificates = "hotel-ca.pem", mapping = "hotel.toml" }

``mapping`` says which of the server's commands stands for which of the port's (drivers.sila_mapping). Files are looked
for in the lab. A connection is encrypted; ``insecure = true`` does without, for a server on this machine only.
``command_s`` is how long a command may take (300), ``reply_s`` an answer (10), ``poll_s`` how often is asked (0.5);
``server_uuid``, where given, is the only server talked to.

The execution's UUID is on disk as soon as it is known: after a crash that execution is asked about, and a command is
never sent again. A server that lost it, or the reply that never told it, makes the command UNKNOWN.
"""

import importlib.util
import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from drivers.deadline import Deadline
from drivers.options import checked
from drivers.ports import MovePlates, ReadBarcode, Report, ShakePlate, Status
from drivers.serial_options import memory_of
from drivers.sila_link import Address, Failed, Refused, SilaLink
from drivers.sila_mapping import TAKES, Call, SilaMapping, read_mapping
from drivers.sila_record import Record, read_record
from drivers.worker import NOTHING_MOVED, WorkerDevice
from drivers.worker_memory import JSON
from nextplate.errors import DeviceError, NeedsOperator, SettingsError, Transient

_REQUIRED: Mapping[str, type] = {"address": str, "port": int, "mapping": str}
_OPTIONAL: Mapping[str, type] = {
    "root_certificates": str, "insecure": bool, "server_uuid": str, "command_s": float, "reply_s": float,
    "poll_s": float,
}  # fmt: skip


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of a SiLA 2 server (drivers.options.Make).

    Raises:
        SettingsError: an option or the mapping is wrong, or the extra is not installed.
    """
    if kind not in TAKES:
        raise SettingsError(f"driver 'sila2' is for {', '.join(TAKES)}, not for a {kind}")
    said = checked(options, _REQUIRED, _OPTIONAL)
    for name in ("command_s", "reply_s", "poll_s", "port"):
        if name in said and not 0 < said[name] < (65536 if name == "port" else float("inf")):
            raise SettingsError(f"option {name} = {said[name]!r} should be above 0")
    mapping = read_mapping(lab / said["mapping"], kind)
    address = Address(said["address"], said["port"], _certificates(said, lab), said.get("server_uuid", ""))
    if importlib.util.find_spec("sila2") is None:
        raise SettingsError("driver 'sila2' needs the extra: pip install 'nextplate[sila]'")
    link, memory = SilaLink(address, reply_s=said.get("reply_s", 10.0)), memory_of(kind, lab)
    pace = {"command_s": said.get("command_s", 300.0), "poll_s": said.get("poll_s", 0.5)}
    return WorkerDevice(SilaMachine(kind, link, mapping, memory.place / "executions", **pace), memory)


def _certificates(said: Mapping[str, Any], lab: Path) -> bytes | None:
    if "root_certificates" in said and not said.get("insecure"):
        try:
            found: bytes = (lab / str(said["root_certificates"])).read_bytes()
            return found
        except OSError as error:
            raise SettingsError(f"option root_certificates: {error}") from error
    if not said.get("insecure"):
        raise SettingsError("option 'root_certificates' is missing: the file of the server's root certificates (PEM)")
    if "root_certificates" in said:
        raise SettingsError("option insecure = true does without root_certificates; leave one of them out")
    if not _is_loopback(said["address"]):
        raise SettingsError(f"option insecure = true is for this machine only, not for {said['address']!r}")
    return None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


class _NotTaken(NeedsOperator):
    """The server refused a call, and nothing of it began."""


class SilaMachine:
    """A SiLA 2 server's commands as those of a port (drivers.worker.Machine)."""

    def __init__(
        self, name: str, link: SilaLink, mapping: SilaMapping, folder: Path, *, command_s: float, poll_s: float
    ) -> None:
        self.name, self.takes = name, TAKES[name]
        self._link, self._mapping, self._folder = link, mapping, folder
        self._command_s, self._poll_s = command_s, poll_s

    def time_s(self, command: Any) -> float:
        """Return ``command_s`` for each call, and the time to shake."""
        shaking_s = command.duration_s if isinstance(command, ShakePlate) else 0
        return self._command_s * max(1, len(command.moves) if isinstance(command, MovePlates) else 1) + shaking_s

    def prepare(self, command: Any, until: Deadline) -> JSON:
        """Connect, and see that the server has every command with these parameters.

        Raises:
            DeviceError: it does not answer, or has not.
        """
        self._link.connect(until)
        for call in self._mapping.calls(command):
            self._link.check(call)
        return {"ticket": uuid4().hex}

    def perform(self, command: Any, plan: JSON, until: Deadline) -> Report:
        """Have the calls executed one after another, each once.

        Raises:
            DeviceError: it cannot be told how one ended.
        """
        record, calls = Record(self._path(plan)), self._mapping.calls(command)
        for n, call in enumerate(calls):
            try:
                record.begin_step()
            except OSError as error:
                said = NOTHING_MOVED if n == 0 else "the rest was not sent"
                return self._failed(command, record, f"{error}; {said}", until)
            try:
                self._send(n, call, record, until)
            except _NotTaken as error:
                message = f"{error}; {NOTHING_MOVED}" if n == 0 else str(error)
                self._note(record, n, failure=message, is_refused=True)
                return self._failed(command, record, message, until)
            except Failed as error:
                self._note(record, n, failure=str(error))
                return self._failed(command, record, str(error), until)
        return self._done(command, record)

    def after_crash(self, command: Any, plan: JSON, until: Deadline) -> Report:
        """Ask about the executions that a killed process left; send none.

        Raises:
            DeviceError: the server does not answer, or cannot tell.
        """
        record, calls = read_record(self._path(plan)), self._mapping.calls(command)
        if not record.steps:
            return Report(Status.NOT_FOUND)
        if len(record.steps) > len(calls):
            raise NeedsOperator(f"{record.path} is not of this command; look at the {self.name}")
        self._link.connect(until)
        for n, (call, step) in enumerate(zip(calls, record.steps, strict=False)):
            if step.failure:
                return self._failed(command, record, step.failure, until)
            if step.responses is not None:
                continue
            if step.execution is None:
                return self._lost(f"{call.feature}.{call.command} was sent, and its reply is lost")
            try:
                self._wait(n, call, step.execution, record, until)
            except Failed as error:
                self._note(record, n, failure=str(error))
                return self._failed(command, record, str(error), until)
            except NeedsOperator as error:
                return self._lost(str(error))  # the server answers, and will never know more
        if len(record.steps) < len(calls):
            return self._failed(command, record, "the process that sent it was killed; the rest was not sent", until)
        return self._done(command, record)

    def _lost(self, said: str) -> Report:
        return Report(Status.UNKNOWN, {}, f"{said}; look at the {self.name}")

    def inspect(self, until: Deadline) -> JSON:
        """Return who the server is, and the properties that the mapping names.

        Raises:
            DeviceError: it does not answer.
        """
        self._link.connect(until)
        return {**self._link.identify(until), **self._state(until)}

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    def _path(self, plan: JSON) -> Path:
        return self._folder / f"{plan['ticket']}.json"

    def _send(self, n: int, call: Call, record: Record, until: Deadline) -> None:
        """Have a call executed, once.

        Raises:
            _NotTaken: the server did not take it.
            DeviceError: it failed, or nobody knows; a refusal to tell of an execution is no refusal to execute.
        """
        noted, execution = partial(self._note, record, n), ""
        try:
            if not self._link.is_observable(call):
                noted(responses=self._link.perform(call, until))
                return
            execution = self._link.start(call, lambda uuid: noted(execution=uuid), until)
        except Refused as error:
            raise _NotTaken(str(error)) from error
        self._wait(n, call, execution, record, until)

    def _wait(self, n: int, call: Call, execution: str, record: Record, until: Deadline) -> None:
        """Ask until the execution has ended; a connection that comes back in time is gone on with."""
        while True:
            try:
                responses = self._link.responses(call, execution, until)
            except Transient:
                if until.is_over:
                    raise
                responses = None
            if responses is not None:
                self._note(record, n, responses=responses)
                return
            if until.is_over:
                raise Transient(f"{call.feature}.{call.command} (execution {execution}) did not end in time")
            until.pause(self._poll_s)

    def _note(self, record: Record, n: int, **values: Any) -> None:
        """Write down; where the disk is full, this process still knows, and a later one will say UNKNOWN."""
        try:
            record.change(n, **values)
        except OSError:
            record.keep(n, **values)

    def _done(self, command: Any, record: Record) -> Report:
        result = self._result(command, record)
        if isinstance(command, ReadBarcode) and command.expected not in ("", result["barcode"]):
            return Report(Status.FAILED, result, f"read {result['barcode']!r}, expected {command.expected!r}")
        return Report(Status.DONE, result)

    def _result(self, command: Any, record: Record) -> dict[str, Any]:
        ended = [step.responses for step in record.steps if step.responses is not None]
        if isinstance(command, MovePlates):
            return {"moved": [move.barcode for move in command.moves[: len(ended)]]}
        told = self._mapping.told(command, ended[0]) if ended else {}
        if isinstance(command, ShakePlate):
            # of one that failed at work, how long it shook is the server's to tell, by [state]
            if ended:
                return {"shaken_s": command.duration_s, **told}
            return {"shaken_s": 0} if record.has_begun_nothing else {}
        ours = {"program": command.program} if hasattr(command, "program") else {}
        return {**ours, **{name: str(value) for name, value in told.items()}}

    def _failed(self, command: Any, record: Record, message: str, until: Deadline) -> Report:
        """Tell with what it left behind, as far as the server says."""
        state: JSON = {}
        with suppress(DeviceError):
            state = self._state(until.renewed(self._poll_s + 2.0))
        result = {**self._result(command, record), **({"state": dict(state)} if state else {})}
        return Report(Status.FAILED, result, message)

    def _state(self, until: Deadline) -> JSON:
        return {what: self._link.read(*where, until) for what, where in self._mapping.state.items()}
