"""Prove a rendered protocol: let the vendor's own interpreter run it, and compare every transfer with the plan.

The interpreter runs in a subprocess of a configurable python, in an empty folder, its settings redirected, with a
deadline. Its exit code is 0 even for a protocol that fails, so only the ``result`` field of the analysis counts. It
does no accounting of volumes at all; that is protocols.ledger's work.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nextplate.errors import DataError, StepError
from protocols.model import Protocol
from protocols.proof import SeenTransfer, compare_commands, read_commands
from protocols.render import find_load

__all__ = ["Analysis", "SeenTransfer", "analyze", "analyze_many", "compare", "transfers_of"]

# Runs in the vendor's interpreter: one import for all files (the import is most of the time), the command's own code
# for each. The command ends by SystemExit; anything else is told on stderr and leaves no output.
_RUNNER = """
import sys
from opentrons.cli.analyze import analyze
for number, path in enumerate(sys.argv[1:]):
    try:
        analyze.main(["--json-output=%d.json" % number, path], standalone_mode=False)
    except SystemExit:
        pass
    except BaseException as error:
        print("%d: %s" % (number, error), file=sys.stderr)
"""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the vendor's interpreter made of one file."""

    path: Path
    result: str
    """ok, not-ok, parameter-value-required, or no-result when the interpreter gave none."""
    robot_type: str
    errors: tuple[str, ...]
    commands: tuple[Mapping[str, Any], ...] = field(repr=False)
    pipettes: tuple[Mapping[str, Any], ...]

    @property
    def is_ok(self) -> bool:
        """Tell whether the file ran to its end; says nothing of whether it does what was planned."""
        return self.result == "ok" and not self.errors


def analyze(path: Path, python: Path | None = None, *, timeout_s: float = 120.0) -> Analysis:
    """Analyse one protocol file.

    Args:
        path: the file.
        python: interpreter that has the opentrons package; None takes the one that runs nextplate.
        timeout_s: deadline.

    Raises:
        DataError: no such file.
        StepError: the interpreter cannot be started, has no opentrons, or missed the deadline.
    """
    return analyze_many([path], python, timeout_s=timeout_s)[0]


def analyze_many(paths: Sequence[Path], python: Path | None = None, *, timeout_s: float = 120.0) -> list[Analysis]:
    """Analyse several files in one interpreter start; they must be rendered by nextplate.

    A file runs as Python in the interpreter of those before it, so a file of unknown origin belongs in a call of
    its own. Raises as analyze does; the deadline is for all together.
    """
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise DataError(f"no such protocol file: {', '.join(missing)}")
    if not paths:
        return []
    with tempfile.TemporaryDirectory(prefix="nextplate-analysis-") as folder:
        said = _run(paths, python or Path(sys.executable), Path(folder), timeout_s)
        return [_read(path, Path(folder) / "work" / f"{i}.json", i, said) for i, path in enumerate(paths)]


def _run(paths: Sequence[Path], python: Path, folder: Path, timeout_s: float) -> str:
    """Run the interpreter; return what it said on stderr."""
    work = folder / "work"
    work.mkdir()
    # A minimal environment: another PYTHONPATH or HOME of the caller must not change the verdict.
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT") if name in os.environ}
    env = {**keep, "OT_API_CONFIG_DIR": str(folder / "config"), "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), "-c", _RUNNER, *(str(path.resolve()) for path in paths)]
    try:
        done = subprocess.run(
            command, cwd=work, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise StepError(f"the analysis of {len(paths)} protocol file(s) took over {timeout_s:g} s") from error
    except OSError as error:
        raise StepError(f"cannot start {python}: {error.strerror}; set the interpreter that has opentrons") from error
    if "No module named 'opentrons'" in done.stderr and not list(work.glob("*.json")):
        raise StepError(f"{python} has no opentrons package; install opentrons==9.0.0 there or name another")
    return done.stderr


def _read(path: Path, output: Path, number: int, said: str) -> Analysis:
    try:
        body = json.loads(output.read_bytes())
        errors = tuple(_error_words(error) for error in body["errors"])
        return Analysis(
            path, str(body["result"]), str(body["robotType"]), errors,
            tuple(body["commands"]), tuple(body["pipettes"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        # The interpreter refused the file before it ran it; its words are the only record.
        mine = [line for line in said.splitlines() if line.startswith(f"{number}: ")]
        words = mine or said.strip().splitlines()[-3:] or ["the interpreter wrote no analysis"]
        return Analysis(path, "no-result", "", tuple(words), (), ())


def _error_words(error: Mapping[str, Any]) -> str:
    words = f"{error.get('errorType')} {error.get('errorCode')}: {error.get('detail')}"
    inner = [_error_words(e) for e in error.get("wrappedErrors", [])]
    return " <- ".join([words, *inner])


def transfers_of(analysis: Analysis) -> tuple[SeenTransfer, ...]:
    """Return the transfers the file really makes, re-derived from the interpreter's commands."""
    return read_commands(analysis.commands).transfers


def compare(analysis: Analysis, protocol: Protocol, load_index: int) -> list[str]:
    """Return every difference between what the file does and the plan, naming wells; empty means proven.

    Raises:
        PlanError: the protocol has no such load.
    """
    load = find_load(protocol, load_index)
    if not analysis.is_ok:
        return [f"{analysis.path.name}: the analysis ended {analysis.result}: {'; '.join(analysis.errors)}"]
    return compare_commands(analysis.commands, analysis.robot_type, protocol, load)
