"""OMERO as an imager: plates are imaged by people or their own microscopes, imported into OMERO, and read from there.

::

    driver = "omero"
    options = { url = "https://omero.example.org", user = "lab", password_env = "OMERO_PASSWORD", group = "Screening",
                screen = "First screen", wells = 384, fields = 4, channels = 5 }

``AcquirePlate`` means: a readout of this barcode is awaited. What counts as it stands in `drivers.omero_plate`; how it
is brought into the lab in `drivers.omero_take`. ``url`` is OMERO.web's address, with its path where it has one. Without
``user`` nobody logs in (public data). The password is named, never written: ``password_env``, a variable, or
``password_file``, a file that only its owner may read. ``server`` names the OMERO server where OMERO.web knows several;
``key`` the key-value annotation that may hold the barcode (Barcode). ``wells`` (of the whole plate), ``fields`` and
``channels`` say what is due; ``settle_s`` (60), ``timeout_h`` (12), ``poll_s`` (30), ``slack_s`` (3600) and
``max_image_mb`` (2000) are numbers. ``ca_file``, ``log``, ``reply_s`` as for every HTTP device.

What a person may say stands in ``logs/devices/imager/words/<barcode>-<first 8 of the run>.txt``: the id of the plate
to take, or ``give up``; a question names the file. Nothing in OMERO is ever changed.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drivers.deadline import Deadline
from drivers.http_options import http_options, http_wire_of, secret_of
from drivers.omero_line import Account, LinePace, OmeroLine
from drivers.omero_plate import Asked, Content, Eye, Options, Verdict
from drivers.omero_take import Carrier, Taken
from drivers.ports import AcquirePlate, Report, Status
from drivers.serial_options import memory_of
from drivers.watched_options import due_of
from drivers.watched_take import SourceChanged, plain_name
from drivers.worker import WorkerDevice
from drivers.worker_memory import JSON, Memory
from nextplate.errors import NeedsOperator, SettingsError, Transient
from nextplate.imaging.shown import shown

GIVE_UP = "give up"
_TEXTS = ("user", "password_env", "password_file", "server", "group", "screen", "key")
_NUMBERS = ("settle_s", "timeout_h", "poll_s", "slack_s", "max_image_mb")
_OPTIONAL: Mapping[str, type] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(_NUMBERS, float),
    **dict.fromkeys(("wells", "fields", "channels"), int),
}
_MB = 1_000_000
_LOGGED = 600
"""Bytes of each message in the log: it is asked again and again, and answers with whole plates."""
_BRING_S = 2 * 3600.0
_LOOKUP_WAIT_S = 1.0
"""Enough to find what was brought already; a readout that is still awaited may be for hours."""


@dataclass(frozen=True, slots=True)
class OmeroPace:
    """How long things take, in seconds."""

    timeout_s: float = 12 * 3600.0
    """The acquisition has failed when no whole plate came for so long."""
    poll_s: float = 30.0
    refused_s: float = 300.0
    """So long nothing is asked after OMERO refused something: many wrong passwords may lock a user out."""


def make(kind: str, options: Mapping[str, Any], lab: Path) -> "OmeroImager":
    """Make the driver of an imager (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; not an imager.
    """
    if kind != "imager":
        raise SettingsError(f"driver 'omero' is for an imager, not for a {kind}")
    said = http_options(options, {}, _OPTIONAL)
    account, memory = _account(said, lab), memory_of(kind, lab)
    _words_of(memory)
    named = {name: said[name] for name in ("group", "screen", "key", "settle_s", "slack_s") if name in said}
    wire = http_wire_of(said, kind, lab, is_exclusive=False, logged=_LOGGED)  # it serves many
    line = OmeroLine(wire, account, LinePace(**({"reply_s": float(said["reply_s"])} if "reply_s" in said else {})))
    pace = OmeroPace(float(said.get("timeout_h", 12.0)) * 3600.0, float(said.get("poll_s", 30.0)))
    limit = int(float(said.get("max_image_mb", 2000.0)) * _MB)
    return imager(line, Options(due=due_of(said), **named), lab, memory, pace, limit)


def imager(
    line: OmeroLine, options: Options, lab: Path, memory: Memory, pace: OmeroPace, max_image_bytes: int = 2000 * _MB
) -> "OmeroImager":
    """Put a driver together."""
    eye = Eye(line, options, time.monotonic)
    carrier = Carrier(line, eye, lab, max_image_bytes)
    return OmeroImager(Omero(line, eye, carrier, _words_of(memory), pace), memory)


def _account(said: Mapping[str, Any], lab: Path) -> Account | None:
    ways = [name for name in ("password_env", "password_file") if name in said]
    if "user" not in said:
        if ways or "server" in said:
            raise SettingsError("a password or server is given and no user; name one, or leave it out for public data")
        return None
    if not said["user"].strip() or len(ways) != 1:
        raise SettingsError("a user needs a name and one of the options password_env and password_file")
    return Account(said["user"], secret_of(said, lab, "password"), said.get("server", ""))


def _words_of(memory: Memory) -> Path:
    place = memory.place / "words"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"the folder {place} cannot be made: {error}") from error
    return place


class Omero:
    """Awaits readouts (drivers.worker.Machine); asks and downloads, and moves nothing."""

    name = "imager"
    takes: tuple[type, ...] = (AcquirePlate,)

    def __init__(self, line: OmeroLine, eye: Eye, carrier: Carrier, words: Path, pace: OmeroPace) -> None:
        self._line, self._eye, self._carrier, self._words, self._pace = line, eye, carrier, words, pace
        self.question = ""
        """For a person, while it waits; written by the worker's thread alone."""

    def time_s(self, command: Any) -> float:  # noqa: ARG002
        """Return the time after which a command counts as stalled: the wait, and a download that began at its end."""
        return self._pace.timeout_s + max(self._pace.timeout_s, _BRING_S)

    def prepare(self, command: AcquirePlate, until: Deadline) -> JSON:
        """Note what OMERO has already.

        Raises:
            DeviceError: OMERO does not answer or refuses; or the barcode is none.
        """
        if not command.barcode.strip() or "\0" in command.barcode:
            raise NeedsOperator(f"a readout needs a barcode to be known by, not {command.barcode!a}")
        before = self._eye.snapshot(until)
        return {"run": uuid.uuid4().hex, "asked_at": datetime.now(UTC).isoformat(), "before": before}

    def perform(self, command: AcquirePlate, plan: JSON, until: Deadline) -> Report:
        """Wait for the plate, and bring it.

        Raises:
            DeviceError: what this lab holds of it already cannot be told.
        """
        asked = Asked(command.barcode, datetime.fromisoformat(plan["asked_at"]), frozenset(plan["before"]))
        run, last = str(plan["run"]), until.within(self._pace.timeout_s)
        word_path = self._words / f"{plain_name(command.barcode)}-{run[:8]}.txt"
        if found := self._carrier.taken(command.barcode, run):
            return _done(found)
        try:
            return self._awaited(asked, run, word_path, last, until)
        finally:
            self.question = ""

    def after_crash(self, command: AcquirePlate, plan: JSON, until: Deadline) -> Report:
        """Go on waiting, or hand over what a process before this one brought."""
        return self.perform(command, plan, until)

    def inspect(self, until: Deadline) -> JSON:
        """Return who is logged in where, and how many plates are seen."""
        seen = self._eye.plates(until)
        return {"device": "OMERO", "url": self._line.wire.url, "user": self._line.user, "plates": len(seen)}

    def fetch(self, plate: int, until: Deadline, *, rest_s: float = 0.0, is_partial: bool = False) -> Report:
        """Bring one plate by its number, for a person who has no campaign.

        Args:
            plate: its number in OMERO.
            until: deadline.
            rest_s: so long nothing may change there: the end of an import is told nowhere.
            is_partial: bring what is whole of a plate that is not; the report's ``missing`` says what it lacks.

        Raises:
            DeviceError: it is not there or not whole, or OMERO does not answer.
        """
        content, lacks = self._eye.named(plate, until, is_partial=is_partial)
        asked = Asked(content.plate.name or f"plate-{plate}", datetime.now(UTC), frozenset())
        run = f"fetch-{plate}{'-partial' if lacks else ''}"
        try:
            report = _done(self._carrier.bring(content, asked, run, until, rest_s=rest_s, lacks=lacks))
        except SourceChanged as error:
            raise Transient(f"{error}; try again when it is imported") from error
        return replace(report, result={**report.result, "missing": [*lacks]})

    def close(self) -> None:
        """Let go."""
        self._line.wire.close()

    def _awaited(self, asked: Asked, run: str, word_path: Path, last: Deadline, until: Deadline) -> Report:
        was_asking = False
        while True:
            is_late, wait_s = last.is_over, self._pace.poll_s
            try:
                word = _word(word_path)
                if word == GIVE_UP:
                    return _failed(asked, "a person gave it up")
                verdict = self._eye.look(asked, word, until)
                if verdict.take is not None:
                    return _done(self._brought(verdict.take, asked, run, until))
            except (Transient, SourceChanged) as error:
                verdict = Verdict(reasons=(str(error),))
            except NeedsOperator as error:
                verdict, wait_s = Verdict(question=str(error)), self._pace.refused_s
            if is_late:
                return _failed(asked, self._late(asked, verdict))
            # twice, so that an answer that was garbled on its way asks nobody
            is_asking = bool(verdict.question) and was_asking
            told = f"{verdict.question}; write the id of the plate to take, or '{GIVE_UP}', into {word_path}"
            self.question, was_asking = told if is_asking else "", bool(verdict.question)
            wait_s = wait_s if is_asking else self._pace.poll_s
            last.pause(wait_s)

    def _brought(self, content: Content, asked: Asked, run: str, until: Deadline) -> Taken:
        self.question = ""
        return self._carrier.bring(content, asked, run, until)

    def _late(self, asked: Asked, verdict: Verdict) -> str:
        seen = verdict.question or "; ".join(verdict.reasons)
        return f"no whole readout of {asked.barcode} in {self._line.wire.url} in {self._pace.timeout_s:g} s: {seen}"


class OmeroImager:
    """The imager (drivers.ports.Imager): a worker, whose question is told while it goes on looking."""

    def __init__(self, machine: Omero, memory: Memory) -> None:
        self._machine = machine
        self._worker = WorkerDevice(machine, memory, lookup_wait_s=_LOOKUP_WAIT_S)
        self.submit, self.inspect, self.close = self._worker.submit, self._worker.inspect, self._worker.close

    def poll(self, key: str) -> Report:
        """Tell how the readout stands."""
        return self._told(self._worker.poll(key))

    def lookup(self, key: str) -> Report:
        """Tell how the readout stands after a crash."""
        return self._told(self._worker.lookup(key))

    def fetch(self, plate: int, wait_s: float, *, rest_s: float = 0.0, is_partial: bool = False) -> Report:
        """Bring the plate of this number now, in the caller's thread; raises as `Omero.fetch`."""
        return self._machine.fetch(plate, Deadline.after(wait_s), rest_s=rest_s, is_partial=is_partial)

    def _told(self, report: Report) -> Report:
        question = self._machine.question
        if report.status is Status.RUNNING and question:
            return Report(Status.UNKNOWN, message=shown(question))
        return report


def _done(taken: Taken) -> Report:
    return Report(Status.DONE, {"folder": taken.folder, "images": taken.images})


def _failed(asked: Asked, message: str) -> Report:
    return Report(Status.FAILED, {"folder": f"readouts/{plain_name(asked.barcode)}", "images": 0}, shown(message))


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise NeedsOperator(f"{path} cannot be read: {error}; write it anew") from error
