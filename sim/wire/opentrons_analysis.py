"""The event loop of an emulated Opentrons, and the vendor's own reading and analysis of a protocol."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_CALL_S = 60.0
_N_CANCELS = 20


class EngineLoop:
    """The thread and event loop in which one robot's engines live."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="opentrons engine")
        self._thread.start()

    def _serve(self) -> None:
        self.loop.run_forever()
        self.loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and return its result; raises what it raises."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self.loop).result(_CALL_S)
        finally:
            if self.loop.is_closed():
                work.close()

    def close(self) -> None:
        """End everything that is under way."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(lambda: self.loop.create_task(self._end()))
        self._thread.join(5.0)

    async def _end(self) -> None:
        me = asyncio.current_task(self.loop)
        for _ in range(_N_CANCELS):
            # The engine takes a cancelled command for a failed one and goes on, so once is not enough.
            tasks = asyncio.all_tasks(self.loop) - {me}
            for task in tasks:
                task.cancel()
            if not tasks or not (await asyncio.wait(tasks, timeout=0.05))[1]:
                break
        await self.loop.shutdown_asyncgens()
        self.loop.stop()


async def read_protocol(files: Sequence[Path], folder: Path) -> Any:
    """Return the vendor's reading of a protocol's files; raises its ProtocolFilesInvalidError."""
    from opentrons.protocol_reader import ProtocolReader

    return await ProtocolReader().read_saved(files=files, directory=folder)


def analyze(source: Any, values: Mapping[str, Any], csv_files: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the vendor's simulation says: result, commands, errors, labware, pipettes, parameters."""
    return asyncio.run(_analyze(source, values, csv_files))


async def _analyze(source: Any, values: Mapping[str, Any], csv_files: Mapping[str, Path]) -> dict[str, Any]:
    from opentrons.protocol_runner.create_simulating_orchestrator import create_simulating_orchestrator
    from opentrons.protocol_runner.run_orchestrator import ParseMode

    orchestrator = await create_simulating_orchestrator(robot_type=source.robot_type, protocol_config=source.config)
    try:
        await orchestrator.load(
            protocol_source=source,
            parse_mode=ParseMode.NORMAL,
            run_time_param_values=dict(values),
            run_time_param_paths=dict(csv_files),
        )
    except Exception as error:
        return failed_analysis(error)
    result = await orchestrator.run(deck_configuration=[])
    summary = dump(result.state_summary)
    return {
        "result": _verdict(summary["errors"]),
        "commands": [dump(command) for command in result.commands],
        "runTimeParameters": [dump(parameter) for parameter in result.parameters],
        **{key: summary.get(key, []) for key in ("errors", "labware", "pipettes", "modules", "liquids")},
    }


def failed_analysis(error: Exception) -> dict[str, Any]:
    """Return the analysis of a protocol that could not even be loaded."""
    code = getattr(getattr(getattr(error, "code", None), "value", None), "code", "4000")
    occurrence = {"id": "analysis-setup-error", "errorType": type(error).__name__, "errorCode": code}
    errors: list[dict[str, Any]] = [{**occurrence, "detail": str(error), "errorInfo": {}, "wrappedErrors": []}]
    empty: dict[str, Any] = {key: [] for key in ("commands", "labware", "pipettes", "modules", "liquids")}
    return {**empty, "result": _verdict(errors), "errors": errors, "runTimeParameters": []}


def _verdict(errors: Sequence[Mapping[str, Any]]) -> str:
    if not errors:
        return "ok"
    return "parameter-value-required" if any(_has_code(each, "4010") for each in errors) else "not-ok"


def _has_code(error: Mapping[str, Any], code: str) -> bool:
    return error.get("errorCode") == code or any(_has_code(each, code) for each in error.get("wrappedErrors", ()))


def dump(model: Any) -> dict[str, Any]:
    """Return a vendor's model as the robot writes it: without what is null."""
    return dict(model.model_dump(mode="json", exclude_none=True))
