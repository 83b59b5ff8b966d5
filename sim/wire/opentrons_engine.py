"""One run of the emulated Opentrons: the vendor's own protocol engine, with slow commands and a log of what it did.

Everything that says what a run *is* (status, command records, errors, CSV parameters) comes from the engine of the
``opentrons`` package, set up as facts/robots.md section 9 measured. What is ours: each command takes
`Mechanics.command_s` and may meet a fault of the mechanics, and what it physically did goes into `LabLog`.
The package is imported on first use only: it takes seconds.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from sim.wire.opentrons_analysis import EngineLoop, dump
from sim.wire.opentrons_body import LabAct, LabLog, Mechanics

T = TypeVar("T")
RobotModel = Literal["OT-3 Standard", "OT-2 Standard"]
"""As the engine names them; OT-3 is the Flex."""


class EngineRun:
    """One run in the real engine; every method may be called from any thread but the loop's own."""

    def __init__(self, run_id: str, model: RobotModel, loop: EngineLoop, mechanics: Mechanics, log: LabLog) -> None:
        self.run_id, self._model, self._loop, self._mechanics, self._log = run_id, model, loop, mechanics, log
        self.rules: list[dict[str, Any]] = []
        """The recovery policy's rules, as the client put them."""
        self.is_recovery_enabled = model == "OT-3 Standard"
        self._orchestrator: Any = None
        self._engine: Any = None
        self._hardware: Any = None
        self._task: asyncio.Task[None] | None = None
        self._tipless: set[str] = set()
        """Pipettes that only believe to have a tip: what they aspirate and dispense is air."""
        self._is_dead = False

    def build(
        self,
        source: Any,
        values: Mapping[str, Any],
        csv_files: Mapping[str, Path],
        offsets: Sequence[Mapping[str, Any]],
    ) -> None:
        """Make the engine and load a protocol (None: a run by single commands); raises what the vendor raises."""
        self._loop.call(self._build(source, values, csv_files, offsets))

    async def _build(
        self,
        source: Any,
        values: Mapping[str, Any],
        csv_files: Mapping[str, Path],
        offsets: Sequence[Mapping[str, Any]],
    ) -> None:
        from opentrons.hardware_control.types import DoorState
        from opentrons.protocol_engine import DeckType
        from opentrons.protocol_engine.create_protocol_engine import create_protocol_engine
        from opentrons.protocol_engine.state.config import Config
        from opentrons.protocol_runner.run_orchestrator import ParseMode, RunOrchestrator
        from opentrons.protocols.api_support.deck_type import for_simulation, should_load_fixed_trash

        self._hardware = await _simulated_hardware(self._model)
        self._hardware.door_state = DoorState.OPEN if self._mechanics.is_door_open else DoorState.CLOSED
        await self._hardware.home()
        self._engine = await create_protocol_engine(
            hardware_api=self._hardware,
            config=Config(
                robot_type=self._model,
                deck_type=DeckType(for_simulation(self._model)),
                use_virtual_pipettes=True,
                use_virtual_modules=True,
                use_virtual_gripper=True,
                use_simulated_deck_config=True,
                block_on_door_open=True,
            ),
            error_recovery_policy=self._policy,
            load_fixed_trash=source is not None and should_load_fixed_trash(source.config),
        )
        self._orchestrator = RunOrchestrator.build_orchestrator(
            hardware_api=self._hardware,
            protocol_engine=self._engine,
            protocol_config=None if source is None else source.config,
            run_id=self.run_id,
        )
        self._hook()
        for offset in offsets:
            self._add_offset(offset)
        if source is not None:
            await self._orchestrator.load(
                protocol_source=source,
                run_time_param_values=dict(values),
                run_time_param_paths=dict(csv_files),
                parse_mode=ParseMode.ALLOW_LEGACY_METADATA_AND_REQUIREMENTS,
            )

    def _policy(self, _config: Any, failed_command: Any, defined_error_data: Any) -> Any:
        """Decide as robot-server does: the first rule that matches, else recovery where it can be had (Flex)."""
        from opentrons.protocol_engine.error_recovery_policy import ErrorRecoveryType

        if not self.is_recovery_enabled or defined_error_data is None:
            return ErrorRecoveryType.FAIL_RUN
        reactions = {
            "failRun": ErrorRecoveryType.FAIL_RUN,
            "waitForRecovery": ErrorRecoveryType.WAIT_FOR_RECOVERY,
            "ignoreAndContinue": ErrorRecoveryType.CONTINUE_WITH_ERROR,
            "assumeFalsePositiveAndContinue": ErrorRecoveryType.ASSUME_FALSE_POSITIVE_AND_CONTINUE,
        }
        met = (failed_command.commandType, defined_error_data.public.errorType)
        for rule in self.rules:
            command = rule["matchCriteria"]["command"]
            if met == (command["commandType"], command["error"]["errorType"]):
                return reactions[rule["ifMatch"]]
        return ErrorRecoveryType.WAIT_FOR_RECOVERY

    def _hook(self) -> None:
        """Put our mechanics around the engine's executor of commands."""
        # Recovery tells the hardware of a tip; the simulator's has no pipette (the engine's are virtual) to put it on.
        for name in ("cache_tip", "remove_tip", "set_current_tiprack_diameter", "set_working_volume"):
            setattr(self._hardware, name, lambda *_, **__: None)
        executor = self._engine._queue_worker._command_executor
        execute = executor.execute

        async def slow(command_id: str) -> None:
            command = self._engine.state_view.commands.get(command_id)
            real = command._ImplementationCls
            command._ImplementationCls = lambda **parts: _Embodied(self, command.commandType, real, parts)
            await execute(command_id)

        executor.execute = slow

    def note(self, command_type: str, params: Any, result: Any) -> None:
        """Write down what a command physically did, well by well; called once it has."""
        what = _PHYSICAL.get(command_type)
        if what is None or self._is_dead:
            return
        state = self._engine.state_view
        here = params
        if command_type.endswith("InPlace"):
            here = state.pipettes.get_current_location()
        labware = getattr(here, "labwareId", None) or getattr(here, "labware_id", None)
        well = getattr(here, "wellName", None) or getattr(here, "well_name", None) or ""
        is_air = params.pipetteId in self._tipless if what in ("aspirate", "dispense") else False
        if labware is None or is_air:
            return
        wells = [well]
        with contextlib.suppress(Exception):
            wells = state.geometry.get_wells_covered_by_pipette_with_active_well(labware, well, params.pipetteId)
        name, slot = self._place(labware)
        volume = float(getattr(result, "volume", 0.0) or 0.0)
        self._log.acts.extend(LabAct(self.run_id, what, name, slot, each, volume) for each in wells)

    def _place(self, labware_id: str) -> tuple[str, str]:
        state = self._engine.state_view
        name, slot = str(state.labware.get(labware_id).loadName), ""
        with contextlib.suppress(Exception):
            slot = str(state.geometry.get_ancestor_slot_name(labware_id).id)
        return name, slot

    async def embody(self, command_type: str, params: Any, parts: dict[str, Any]) -> None:
        """Let the time of a command pass, and its fault happen."""
        if self._mechanics.command_s:
            await asyncio.sleep(self._mechanics.command_s)
        if self._is_dead:
            raise asyncio.CancelledError
        if command_type == "loadPipette" and self._mechanics.mounted is not None:
            _require_pipette(self._mechanics.mounted(), params)
        if command_type == "pickUpTip":
            self._mechanics.n_pick_ups += 1
            is_missed = self._mechanics.n_pick_ups in self._mechanics.tips_to_miss
            (self._tipless.add if is_missed else self._tipless.discard)(params.pipetteId)
            # An OT-2 has no sensor: it goes on without the tip.
            if is_missed and self._model == "OT-3 Standard":
                parts["tip_handler"] = _NoTip(parts["tip_handler"])

    def cut_power(self) -> None:
        """Let nothing happen any more."""
        self._is_dead = True

    def play(self) -> None:
        """Start, or go on; raises the vendor's ProtocolEngineError where the robot refuses."""
        self._loop.call(self._play())

    async def _play(self) -> None:
        if self._task is not None and self._orchestrator.run_has_started():
            self._orchestrator.play()
        elif self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
            await asyncio.sleep(0)

    async def _run(self) -> None:
        self._log.acts.append(LabAct(self.run_id, "play"))
        with contextlib.suppress(Exception):
            await self._orchestrator.run(deck_configuration=[])

    def pause(self) -> None:
        """Pause; raises the vendor's ProtocolEngineError where the robot refuses."""
        self._loop.call(self._in_loop(lambda: self._orchestrator.pause()))

    def stop(self) -> None:
        """Ask the run to stop, and return before it has."""
        self._loop.call(self._in_loop(self._begin_stop))

    def _begin_stop(self) -> None:
        from opentrons.protocol_engine.errors import RunStoppedError

        if self._orchestrator.run_has_stopped():
            raise RunStoppedError("The run has already stopped.")
        self._stopping = asyncio.create_task(_quiet(self._orchestrator.stop()))

    def resume(self, *, is_false_positive: bool) -> None:
        """Go on from recovery; raises the vendor's ProtocolEngineError where there is none."""
        self._loop.call(self._in_loop(lambda: self._orchestrator.resume_from_recovery(is_false_positive)))

    def press_estop(self) -> None:
        """Fail the run as a pressed emergency stop does."""
        self._loop.call(self._estop())

    async def _estop(self) -> None:
        from opentrons.protocol_engine.errors.exceptions import EStopActivatedError

        if not self._orchestrator.run_has_stopped() and self._orchestrator.run_has_started():
            self._orchestrator.estop()
            await _quiet(self._orchestrator.finish(error=EStopActivatedError()))

    def set_door(self, *, is_open: bool) -> None:
        """Open or close the door under the run."""
        from opentrons.hardware_control.types import DoorState

        self._hardware._update_door_state(DoorState.OPEN if is_open else DoorState.CLOSED)

    def add_offset(self, offset: Mapping[str, Any]) -> dict[str, Any]:
        """Add a labware offset and return its record; raises pydantic's error for what is none."""
        return self._loop.call(self._in_loop(lambda: self._add_offset(offset)))

    def _add_offset(self, offset: Mapping[str, Any]) -> dict[str, Any]:
        from opentrons.protocol_engine.types import LegacyLabwareOffsetCreate

        return dump(self._orchestrator.add_labware_offset(LegacyLabwareOffsetCreate.model_validate(offset)))

    def add_command(self, request: Mapping[str, Any], wait_s: float | None) -> dict[str, Any]:
        """Queue a command (wait_s None: do not wait) and return its record; raises the vendor's errors."""
        return self._loop.call(self._add_command(request, wait_s))

    async def _add_command(self, request: Mapping[str, Any], wait_s: float | None) -> dict[str, Any]:
        from opentrons.protocol_engine.commands import CommandCreateAdapter

        command = CommandCreateAdapter.validate_python({"intent": "setup", **request})
        added = await self._orchestrator.add_command_and_wait_for_interval(
            command=command,
            wait_until_complete=wait_s is not None,
            timeout=None if wait_s is None else int(wait_s * 1000),
        )
        return dump(self._orchestrator.get_command(added.id))

    def status(self) -> str:
        """Return the engine's own word."""
        return str(self._loop.call(self._in_loop(lambda: self._orchestrator.get_run_status().value)))

    def is_over(self) -> bool:
        """Return whether the run has come to its end."""
        return bool(self._loop.call(self._in_loop(lambda: self._orchestrator.run_has_stopped())))

    def is_clearable(self) -> bool:
        """Return whether the robot would forget the run for another."""
        return bool(self._loop.call(self._in_loop(lambda: self._orchestrator.get_is_okay_to_clear())))

    def snapshot(self) -> dict[str, Any]:
        """Return the run's state: status, errors, labware, pipettes, parameters, ... as the engine writes them."""
        return self._loop.call(self._in_loop(self._snapshot))

    def _snapshot(self) -> dict[str, Any]:
        state = dump(self._orchestrator.get_state_summary())
        state["runTimeParameters"] = [dump(each) for each in self._orchestrator.get_run_time_parameters()]
        return state

    def commands(self) -> list[dict[str, Any]]:
        """Return all commands so far, whole."""
        return self._loop.call(self._in_loop(lambda: [dump(each) for each in self._orchestrator.get_all_commands()]))

    def current_command(self) -> tuple[int, str] | None:
        """Return index and id of the command that runs or ran last; None: none did."""
        found = self._loop.call(self._in_loop(lambda: self._orchestrator.get_current_command()))
        return None if found is None else (int(found.index), str(found.command_id))

    @staticmethod
    async def _in_loop(work: Callable[[], T]) -> T:
        return work()

    def clear(self) -> None:
        """Let go of an idle or ended run's engine."""
        self._loop.call(self._clear())

    async def _clear(self) -> None:
        if not self._orchestrator.run_has_stopped():
            await _quiet(self._orchestrator.finish(drop_tips_after_run=False, set_run_status=False))


class _Embodied:
    """The engine's implementation of one command, in a body."""

    def __init__(self, run: EngineRun, command_type: str, real: Callable[..., Any], parts: dict[str, Any]) -> None:
        self._run, self._type, self._real, self._parts = run, command_type, real, parts

    async def execute(self, params: Any) -> Any:
        """Take the command's time, do it, and write down what was done."""
        await self._run.embody(self._type, params, self._parts)
        done = await self._real(**self._parts).execute(params)
        if type(done).__name__ == "SuccessData":
            self._run.note(self._type, params, done.public)
        return done


class _NoTip:
    """A handler of tips that finds none."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def pick_up_tip(self, pipette_id: str, labware_id: str, well_name: str, *_: Any, **__: Any) -> Any:
        """Fail as the sensor in the pipette does."""
        from opentrons.protocol_engine.errors import PickUpTipTipNotAttachedError

        tip = await self._real.pick_up_tip(pipette_id, labware_id, well_name)
        raise PickUpTipTipNotAttachedError(tip_geometry=tip)


_PHYSICAL = {
    "aspirate": "aspirate",
    "aspirateInPlace": "aspirate",
    "dispense": "dispense",
    "dispenseInPlace": "dispense",
    "aspirateWhileTracking": "aspirate",
    "dispenseWhileTracking": "dispense",
    "pickUpTip": "pick-up-tip",
    "dropTip": "drop-tip",
    "moveLabware": "move-labware",
}


def _require_pipette(mounted: Mapping[str, str], params: Any) -> None:
    from opentrons.protocol_engine.errors import FailedToLoadPipetteError

    wanted, mount = str(params.pipetteName.value), str(params.mount.value)
    # A first-generation name is content with the second generation, as in the vendor's backwards compatibility.
    if mounted.get(mount) not in (wanted, f"{wanted}_gen2"):
        raise FailedToLoadPipetteError(f"{wanted} is not on the {mount} mount, which has {mounted.get(mount)}")


async def _quiet(work: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(Exception):
        await work


async def _simulated_hardware(model: RobotModel) -> Any:
    loop = asyncio.get_running_loop()
    if model == "OT-2 Standard":
        from opentrons.hardware_control import API

        return await API.build_hardware_simulator(loop=loop)
    from opentrons.hardware_control.ot3api import OT3API

    return await OT3API.build_hardware_simulator(loop=loop)
