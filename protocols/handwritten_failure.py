"""Say in words, with the well, what the vendor's interpreter failed on in a file written by hand."""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from protocols.handwritten_wells import label_of, padded
from protocols.problems import Problem, ProblemKind
from protocols.sentences import named, well_on
from protocols.volumes import WellKey

_LINE = re.compile(r"\[line (\d+)\]")
_NOT_VALID = re.compile(
    r"validation errors? for (\w+?)Params\s+(\w+)\s+Input (should [^\[]*?) \[.*?input_value=([^,\]]*)", re.S
)
"""What pydantic says of a value that a command does not take; opentrons 9.0.0 passes it on as it is."""
_OURS = {"TipNotAttachedError": "no tip is on the pipette; pick one up first"}
"""Errors of the vendor that say less than they could."""

Command = Mapping[str, Any]


def failures(file: str, errors: Sequence[str], commands: Sequence[Command], text: str) -> list[Problem]:
    """Return a problem for each error of an analysis that did not end well.

    Args:
        file: its name.
        errors: of the analysis (Analysis.errors).
        commands: of the analysis, as far as it came.
        text: of the file.
    """
    return [_failure(file, error, commands, text) for error in errors]


def _failure(file: str, error: str, commands: Sequence[Command], text: str) -> Problem:
    line = int(found[1]) if (found := _LINE.search(error)) else 0
    where = f"{file}, line {line}" if line else file
    number, command = next(((n, c) for n, c in enumerate(commands, 1) if _is_failed(c, error)), (0, {}))
    if (key := _well(command, commands)) is not None:
        cause = command["error"]
        words = _OURS.get(str(cause["errorType"]), str(cause["detail"]))
        message = f"{where}: command {number} ({command['commandType']}) at {well_on(*key)}: {words}"
        return Problem(ProblemKind.STEP, message, *key, step=number)
    if line and (wrong := _NOT_VALID.search(error)):
        kind, field, should, value = wrong.groups()
        calls = " or ".join(named(call) for call in _calls_in(text, line, kind))
        words = f"{calls or f'a command {kind}'}: {field} is {value}, and {should}"
        return Problem(ProblemKind.STEP, f"{where}: {words}{_after(commands)}")
    return Problem(ProblemKind.STEP, f"{file}: {error}")


def _is_failed(command: Command, error: str) -> bool:
    cause = command.get("error")
    return command.get("status") == "failed" and isinstance(cause, Mapping) and str(cause.get("errorType")) in error


def _well(command: Command, commands: Sequence[Command]) -> WellKey | None:
    """Return the well that a command names, by the label of its labware; None: it names none."""
    params = command.get("params", {})
    loads = (c for c in commands if c.get("commandType") == "loadLabware" and c.get("result"))
    place = next((c for c in loads if c["result"]["labwareId"] == params.get("labwareId")), None)
    if place is None or "wellName" not in params:
        return None
    return label_of(place["params"], place["result"]["definition"]), padded(str(params["wellName"]))


def _calls_in(text: str, line: int, kind: str) -> list[str]:
    """Return the calls in a line that make a command of a kind, as written; else the whole line."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.lineno <= line <= (node.end_lineno or line)
        if isinstance(node.func, ast.Attribute) and node.func.attr.replace("_", "").lower() == kind.lower()
    ]
    return found or [whole.strip() for whole in text.splitlines()[line - 1 : line]]


def _after(commands: Sequence[Command]) -> str:
    """Say where the pipette was last: a call that names its well by a variable tells no more."""
    for number, command in reversed(list(enumerate(commands, 1))):
        if (key := _well(command, commands)) is not None:
            return f" (the command before, {number}, was {command['commandType']} at {well_on(*key)})"
    return ""
