"""How a run ended, in the words of drivers.ports.RunLoad; and what a run does about errors in an unattended night."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.opentrons_words import Run
from drivers.ports import Report, Status
from nextplate.errors import DataError
from protocols.model import DeckLoad
from protocols.worklists.account import as_result
from protocols.worklists.opentrons_record import read_opentrons_record

_RECOVERABLE: Mapping[str, tuple[str, ...]] = {
    "tipPhysicallyMissing": ("pickUpTip",),
    "tipPhysicallyAttached": ("dropTip", "dropTipInPlace"),
    "overpressure": (
        "aspirate", "aspirateInPlace", "aspirateWhileTracking", "dispense", "dispenseInPlace",
        "dispenseWhileTracking", "blowout", "blowOutInPlace", "prepareToAspirate", "airGapInPlace", "pickUpTip",
    ),
    "liquidNotFound": ("aspirate", "liquidProbe", "tryLiquidProbe"),
    "gripperMovement": ("moveLabware",),
    "stallOrCollision": (
        "pickUpTip", "dropTip", "aspirate", "dispense", "moveToWell", "moveToCoordinates", "moveRelative",
        "moveToAddressableArea", "moveToAddressableAreaForDropTip", "blowout", "touchTip", "home",
    ),
}  # fmt: skip
"""Errors after which a Flex waits for a person unless told otherwise, and commands that have them. A pair that newer
software adds is caught in the run: one that waits for recovery is stopped."""


def policy() -> list[dict[str, Any]]:
    """Return the rules by which a run fails rather than wait for somebody until the morning."""
    return [
        {
            "matchCriteria": {"command": {"commandType": command, "error": {"errorType": error}}},
            "ifMatch": "failRun",
        }
        for error, commands in _RECOVERABLE.items()
        for command in commands
    ]


def report_of(run: Run, commands: Sequence[Mapping[str, Any]], load: DeckLoad) -> Report:
    """Say how a run ended that has ended: done only where every transfer is on record as planned.

    A record that is lost, cut, or of something else is UNKNOWN.
    """
    which = f"run {run.id} ({run.status})"
    if not run.is_ended or not run.is_ok:
        return _unclear(f"the robot lost the record of {which}: {run.trouble or 'was it restarted?'}")
    if not commands:
        return _unclear(f"{which} has no commands on record")
    body = {"run": {"status": run.status}, "data": [_slim(c) for c in commands], "meta": {"totalLength": len(commands)}}
    try:
        account = read_opentrons_record(json.dumps(body).encode(), load, has_results=False)
        status, result, message = as_result(account)
        _require_loaded(commands)
    except (DataError, KeyError, TypeError, ValueError, RecursionError) as error:
        return _unclear(f"{which} did something else than was planned, or its record is damaged: {error!s:.300}")
    planned = [[t.transfer_id, t.volume_nl] for t in load.transfers]
    if status == "done" and run.status == "succeeded" and result["transfers"] == planned:
        return Report(Status.DONE, {"transfers": result["transfers"]})
    said = "; ".join(text for text in (f"{which}", run.trouble, message) if text)
    if status == "failed" and run.status in ("failed", "stopped"):
        return Report(Status.FAILED, result, said)
    return Report(Status.UNKNOWN, result, f"{said}; look at the deck")


def _slim(command: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the definitions of labware, which are most of a record and say nothing of what happened."""
    result = command.get("result")
    if not isinstance(result, Mapping):
        return dict(command)
    return {**command, "result": {name: value for name, value in result.items() if name != "definition"}}


def _require_loaded(commands: Sequence[Mapping[str, Any]]) -> None:
    """Refuse liquid that goes where no labware was loaded: the files that were proven have no such thing.

    Raises:
        DataError: there is some.
    """
    loaded = {str(c["result"]["labwareId"]) for c in commands if c["commandType"] == "loadLabware" and "result" in c}
    for command in commands:
        if command["commandType"] in ("aspirate", "dispense") and command["params"]["labwareId"] not in loaded:
            raise DataError(f"a {command['commandType']} names labware that was not loaded")


def _unclear(text: str) -> Report:
    return Report(Status.UNKNOWN, message=f"{text}; look at the deck")
