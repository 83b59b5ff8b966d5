"""Opentrons Flex and OT-2 over the robot's HTTP API, port 31950 (facts/robots.md section 3; opentrons 8.x and 9.0.0).

::

    [[device]]
    kind = "liquid-handler"
    driver = "opentrons"
    options = { url = "http://192.168.1.20:31950", robot = "flex" }

Options besides those of every HTTP device (drivers.http_options): ``robot`` (flex or ot2), ``offsets`` (a file,
protocols.offsets, for loads that bring none), and seconds: ``poll_s``, ``patience_s`` (a robot that does not answer,
before anything moves), ``lost_s`` (during a run), ``analysis_s``, ``load_s`` (after which a run is stopped),
``settle_s``, ``stop_s``.

What happens to one load::

    prepare   files, health, pipettes, door, e-stop, nobody else's run; tables and file up; the robot's analysis = plan
    perform   make the run - policy - play, once - poll - read every command - close the run
    crash     find the run by its protocol, which holds the key; follow it, or say for certain that it never began

The file that goes to the robot is the proven one with a comment added: lab and key. So the protocol's id on the robot
is that of this key alone, and a run of it is this key's run, whoever's memory was lost.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from drivers import opentrons_words as words
from drivers.deadline import Deadline
from drivers.http_options import http_options, http_wire_of, memory_of
from drivers.http_wire import Refused
from drivers.key_files import file_name
from drivers.opentrons_api import HEADERS, OpentronsApi, Pace
from drivers.opentrons_checks import (
    Planned,
    marked,
    read_planned,
    require_analysis,
    require_pipettes,
    require_robot,
)
from drivers.opentrons_memory import Intents
from drivers.opentrons_run import NotPlayed, Runs
from drivers.ports import Report, RunLoad, Status
from drivers.proven import proven_bytes
from drivers.wire import Silent
from drivers.worker import LOOKUP_WAIT_S, NOTHING_MOVED, WorkerDevice
from drivers.worker_memory import JSON, Memory
from nextplate.errors import DataError, DeviceError, NeedsOperator, SettingsError
from protocols.labware import ROBOTS
from protocols.offsets import Offset, read_offsets, run_offsets

_PACE = tuple(f.name for f in fields(Pace))


@dataclass(frozen=True, slots=True)
class KeyedLoad(RunLoad):
    """A RunLoad that knows its key."""

    run_key: str = ""


class OpentronsDevice(WorkerDevice):
    """The port of one robot (drivers.ports.LiquidHandler)."""

    def submit(self, command: Any, key: str) -> None:
        """Take a load; a key that was begun before changes nothing (drivers.worker.WorkerDevice.submit)."""
        super().submit(_keyed(command, key) if isinstance(command, RunLoad) else command, key)


def _keyed(command: RunLoad, key: str) -> KeyedLoad:
    return KeyedLoad(**{f.name: getattr(command, f.name) for f in fields(RunLoad)}, run_key=key)


def make(kind: str, options: Mapping[str, Any], lab: Path) -> OpentronsDevice:
    """Make the driver of one robot; asks it nothing.

    Raises:
        SettingsError: another kind of device, or an option is missing, unknown or wrong.
    """
    if kind != "liquid-handler":
        raise SettingsError(f"an Opentrons is a liquid-handler, not a {kind}")
    numbers = {name: float for name in _PACE if name != "reply_s"}
    said = http_options(options, {"robot": str}, {"offsets": str, **numbers})
    if said["robot"] not in ROBOTS:
        raise SettingsError(f"option robot = {said['robot']!r} should be one of {', '.join(sorted(ROBOTS))}")
    try:
        offsets = read_offsets(lab / said["offsets"], said["robot"]) if "offsets" in said else ()
    except DataError as error:
        raise SettingsError(f"option offsets: {error}") from error
    pace = Pace(**{name: float(said[name]) for name in _PACE if name in said})
    memory = memory_of(kind, lab)
    wire = http_wire_of(said, kind, lab, headers=HEADERS)
    return device_of(OpentronsApi(wire, pace), memory, said["robot"], offsets)


def device_of(
    api: OpentronsApi,
    memory: Memory,
    robot: str,
    offsets: tuple[Offset, ...] = (),
    *,
    lookup_wait_s: float = LOOKUP_WAIT_S,
) -> OpentronsDevice:
    """Return the port of a robot behind an API.

    Raises:
        SettingsError: its memory cannot be made.
    """
    intents = Intents(memory.place)
    try:
        intents.prepare()
    except OSError as error:
        raise SettingsError(f"the memory of the robot cannot be made: {error}") from error
    return OpentronsDevice(Opentrons(api, intents, robot, offsets), memory, lookup_wait_s=lookup_wait_s)


class Opentrons:
    """One robot (drivers.worker.Machine)."""

    name = "liquid handler"
    takes: tuple[type, ...] = (KeyedLoad,)

    def __init__(self, api: OpentronsApi, intents: Intents, robot: str, offsets: tuple[Offset, ...] = ()) -> None:
        self._api, self._intents, self._robot, self._offsets = api, intents, robot, offsets
        self._is_flex = robot == "flex"
        self._runs = Runs(api, intents, is_flex=self._is_flex)

    @property
    def trouble(self) -> str:
        """Say since when the robot does not answer; "" while it does (drivers.worker.Machine)."""
        return self._runs.trouble

    def time_s(self, command: Any) -> float:  # noqa: ARG002
        """Return the time after which a load counts as stalled."""
        return self._api.pace.whole_s

    def prepare(self, command: KeyedLoad, until: Deadline) -> JSON:
        """Look at everything, upload the protocol, and have the robot analyse it; moves nothing.

        Raises:
            DeviceError: not now, or not this load.
        """
        until = until.within(self._api.pace.prepare_s)
        planned = read_planned(command, needs_file=True)
        self._require_fit(planned, until)
        self._runs_free(command, until)
        tables = self._tables(command, until)
        stored = self._uploaded(command, planned, tables, until)
        analysis = self._analysed(stored.id, until)
        require_analysis(analysis, stored, planned)
        measured = planned.offsets or self._offsets
        offsets = [offset.body() for offset in run_offsets(analysis.labware, measured)]
        return {"protocol_id": stored.id, "offsets": offsets, **({"tables": tables} if tables else {})}

    def _require_fit(self, planned: Planned, until: Deadline) -> None:
        ask = self._api.patiently
        require_robot(ask(self._api.health, until), planned, self._robot)
        measured = None if self._is_flex else ask(self._api.offsets_measured, until)
        require_pipettes(ask(self._api.instruments, until), planned, measured, is_flex=self._is_flex)
        is_open, is_needed = ask(self._api.door, until)
        if is_open and is_needed:
            raise NeedsOperator("the robot's door is open; close it")
        if self._is_flex and (stop := ask(self._api.emergency_stop, until)) != "disengaged":
            raise NeedsOperator(
                f"the robot's emergency stop is {stop[:60]}; release it and acknowledge it at the robot"
            )

    def _runs_free(self, command: KeyedLoad, until: Deadline) -> None:
        """Refuse a robot that somebody has; a run of this very key is no stranger."""
        if self._intents.of(command.run_key) is None:
            self._runs.require_free(until)

    def _tables(self, command: KeyedLoad, until: Deadline) -> dict[str, str]:
        """Put the tables of a load on the robot, as often as need be: the same one again is the same file there."""
        ids: dict[str, str] = {}
        for table in command.tables:
            content = proven_bytes(table)
            try:
                ids[table.name] = self._api.patiently(partial(self._api.upload_table, table.path.name, content), until)
            except Refused as error:
                told = words.refusal(error.answer.body)
                raise NeedsOperator(
                    f"the robot does not take table {table.path}: {told}; its software may be older than 8.0, which "
                    "knows tables: update it, or leave tables out of [deck] in lab.toml"
                ) from error
        return ids

    def _uploaded(
        self, command: KeyedLoad, planned: Planned, tables: Mapping[str, str], until: Deadline
    ) -> words.Stored:
        path = command.rendered_path
        name = f"{path.stem if path is not None else 'load'}.py"
        key = file_name(command.run_key)[:100]
        content = marked(planned.content, self._intents.lab_id, command.run_key)
        try:
            return self._api.patiently(lambda end: self._api.upload(name, content, key, end, tables), until)
        except Refused as error:
            raise NeedsOperator(f"the robot does not take {path}: {words.refusal(error.answer.body)}") from error

    def _analysed(self, protocol_id: str, until: Deadline) -> words.Analysis:
        """Wait for the analysis of a protocol."""
        end = until.within(self._api.pace.analysis_s)
        while True:
            stored = self._api.patiently(lambda e: self._api.stored(protocol_id, e), end)
            if stored.is_analysed:
                found = self._api.patiently(lambda e: self._api.analysis(protocol_id, stored.analysis_id, e), end)  # noqa: B023
                if found is not None:
                    return found
            if end.is_over:
                raise Silent(f"the robot did not analyse protocol {protocol_id} in {self._api.pace.analysis_s:g} s")
            end.pause(self._api.pace.poll_s)

    def perform(self, command: KeyedLoad, plan: JSON, until: Deadline) -> Report:
        """Make the run, play it once, follow it to its end."""
        key = command.run_key
        try:
            planned = read_planned(command, needs_file=False)
            what = words.RunWish(str(plan["protocol_id"]), list(plan["offsets"]), dict(plan.get("tables", {})))
            run = self._runs.made(key, what, until)
        except DeviceError as error:
            return _not_begun(error)
        try:
            self._made_to_play(key, run, until)
        except NotPlayed as error:
            self._runs.close(run.id, until)
            return _not_begun(error)
        return self._runs.ended(run.id, planned.load, until)

    def _made_to_play(self, key: str, run: words.Run, until: Deadline) -> None:
        if run.was_played:
            return  # by a person, after we were killed; it is followed all the same
        try:
            self._runs.made_ready(run, until)
        except DeviceError as error:
            raise NotPlayed(str(error)) from error
        self._runs.play(key, run, until)

    def after_crash(self, command: KeyedLoad, plan: JSON, until: Deadline) -> Report:
        """Find the run that another process made, and follow it; NOT_FOUND where it was certainly never played.

        Raises:
            DeviceError: the robot does not say.
        """
        planned, protocol_id = read_planned(command, needs_file=False), str(plan["protocol_id"])
        intent = self._intents.of(command.run_key)
        played = [run for run in self._runs.settled(protocol_id, until) if run.was_played]
        if len(played) > 1:
            ids = ", ".join(run.id for run in played)
            return Report(Status.UNKNOWN, message=f"runs {ids} of {command.run_key} were played; look at the deck")
        if played:
            return self._runs.ended(played[0].id, planned.load, until)
        if intent is None or not intent.is_playing:
            return Report(Status.NOT_FOUND)
        run = self._runs.stands(intent, until)
        if run is None or not run.is_ok:
            lost = f"run {intent.run_id} was perhaps played, and the robot has no record of it"
            return Report(Status.UNKNOWN, message=f"{lost}; was it restarted? Look at the deck")
        return self._runs.ended(run.id, planned.load, until) if run.was_played else Report(Status.NOT_FOUND)

    def inspect(self, until: Deadline) -> JSON:
        """Return versions, pipettes, door, emergency stop and current run.

        Raises:
            DeviceError: the robot does not answer.
        """
        found = self._api.health(until)
        is_open, _ = self._api.door(until)
        runs = self._api.runs(until)
        current = next((run for run in runs.runs if run.id == runs.current), None)
        return {
            **{name: value for name, value in asdict(found).items() if name != "api_levels"},
            "protocol_api": [list(level) for level in found.api_levels or ()],
            "pipettes": [asdict(tool) for tool in self._api.instruments(until)],
            "door": "open" if is_open else "closed",
            "emergency_stop": self._api.emergency_stop(until) if self._is_flex else "none",
            "current_run": None if current is None else f"{current.id} ({current.status})",
        }

    def close(self) -> None:
        """Let others have the robot; a run under way goes on."""
        self._api.close()


def _not_begun(error: DeviceError) -> Report:
    text = f"{error}; {NOTHING_MOVED}"
    return Report(Status.FAILED, {"transfers": [], "begun": 0}, text)
