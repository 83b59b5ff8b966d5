"""Prove a rendered protocol: let the vendor's own interpreter run it, and compare every transfer with the plan.

The interpreter runs in a subprocess of a configurable python, in an empty folder, its settings redirected, with a
deadline. Its exit code is 0 even for a protocol that fails, so only the ``result`` field of the analysis counts. It
does no accounting of volumes at all; that is protocols.ledger's work.
"""

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nextplate.errors import DataError, StepError
from protocols.model import Protocol, find_load
from protocols.offsets import Offset
from protocols.proof import SeenTransfer, compare_commands, read_commands

__all__ = ["Analysis", "AnalysisEndless", "SeenTransfer", "analyze", "analyze_many", "compare", "transfers_of"]

# Runs in the vendor's interpreter: one import for all files (the import is most of the time), the command's own code
# for each. The command ends by SystemExit; anything else is told on stderr and leaves no output. A protocol is any
# Python there is: it shall not reach the network from here, and a verdict shall not depend on one.
_RUNNER = """
import json, os, resource, signal, sys, threading

def end_with_parent():
    try:
        os.read(int(sys.argv[2]), 1)  # the caller never writes: this returns when it is gone, however it went
    finally:
        os.killpg(0, signal.SIGKILL)

threading.Thread(target=end_with_parent, daemon=True).start()
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]),) * 2)

def offline(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        there = args[1]  # (host, port, ..); a path is a socket of this machine, None one that is connected already
        if there is None or isinstance(there, (str, bytes)):
            return
        there = there if isinstance(there, tuple) else (there, None)
    elif event == "socket.getaddrinfo":
        there = args[:2]
    elif event in ("socket.gethostbyname", "socket.gethostbyaddr"):
        there = (args[0], None)
    else:
        return
    place = " port ".join(str(part)[:200] for part in there[:2] if part is not None)
    raise PermissionError("an analysis has no network: the protocol reaches for " + (place or "some host"))

sys.addaudithook(offline)
try:
    import opentrons
    from opentrons.cli.analyze import analyze
except BaseException as error:
    print("no-import: %s: %s" % (type(error).__name__, " ".join(str(error).split())[:300]), file=sys.stderr)
    sys.exit(3)
print("version: %s" % opentrons.__version__, file=sys.stderr)
for number, (path, tables) in enumerate(json.loads(sys.argv[1])):
    try:
        arguments = ["--json-output=%d.json" % number, path]
        if tables:
            arguments.insert(1, "--rtp-files=" + json.dumps(tables))
        analyze.main(arguments, standalone_mode=False)
    except SystemExit as error:
        if not os.path.exists("%d.json" % number):
            print("%d: the file ends the interpreter: sys.exit(%r)" % (number, error.code), file=sys.stderr)
    except BaseException as error:
        print("%d: %s" % (number, error), file=sys.stderr)

def least(name):
    from opentrons_shared_data.pipette import load_data
    from opentrons_shared_data.pipette.pipette_load_name_conversions import convert_pipette_name
    model = convert_pipette_name(name)
    found = load_data.load_definition(model.pipette_type, model.pipette_channels, model.pipette_version, model.oem_type)
    return min(item.min_volume for item in found.liquid_properties.values())

volumes = {}
for number in range(len(json.loads(sys.argv[1]))):
    try:
        with open("%d.json" % number) as file:
            names = {item["pipetteName"] for item in json.load(file)["pipettes"]}
        volumes.update({name: least(name) for name in names - set(volumes)})
    except Exception as error:
        print("least: %r" % error, file=sys.stderr)  # An older release keeps them elsewhere: then nobody knows.
with open("least.json", "w") as file:
    json.dump(volumes, file)
"""
_CPU_PER_S = 4
"""Seconds of processor for each second of the limit: several threads at full speed; beyond it nobody is waiting."""
_NOISE = re.compile(
    r"^version: |^least: |Loading defaults|calibration not found|Belt calibration|[Dd]eck.calibration"
    r"|robot_settings\.json"
)
"""What the vendor's package says of every file where there is no robot."""
INSTALL = "install opentrons==9.0.0 (Python 3.11; for the Flex alone, a later one on Python 3.12) and name its python"
"""What to do about an interpreter that cannot do it; 9.0.0 is the newest that takes both robots."""


class AnalysisEndless(StepError, DataError):
    """A protocol file does not come to its end: the file is wrong (exit code 2), where the interpreter is well."""


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
    labware: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """As it stands at the end, with definitionUri, loadName and location."""
    offsets: tuple[Mapping[str, Any], ...] = ()
    """Labware offsets that the file sets: definitionUri, location, vector."""
    tables: tuple[str, ...] = ()
    """Variable names of the CSV runtime parameters that the file takes; none where it failed before it said so."""
    least_nl: Mapping[str, int] = field(default_factory=dict)
    """Least that each pipette of the file moves, by its name, from the vendor's shared data; empty: nobody knows."""

    @property
    def is_ok(self) -> bool:
        """Tell whether the file ran to its end; says nothing of whether it does what was planned."""
        return self.result == "ok" and not self.errors


def analyze(
    path: Path, python: Path | None = None, *, timeout_s: float = 120.0, tables: Mapping[str, Path] | None = None
) -> Analysis:
    """Analyse one protocol file.

    Args:
        path: the file.
        python: interpreter that has the opentrons package; None takes the one that runs nextplate.
        timeout_s: deadline.
        tables: CSV runtime parameters of the file, by variable name; None: it has none.

    Raises:
        DataError: no such file.
        StepError: the interpreter cannot be started, has no opentrons or one that refuses the robot, or missed the
            deadline.
    """
    return analyze_many([path], python, timeout_s=timeout_s, tables=[tables or {}])[0]


def analyze_many(
    paths: Sequence[Path],
    python: Path | None = None,
    *,
    timeout_s: float = 120.0,
    tables: Sequence[Mapping[str, Path]] = (),
) -> list[Analysis]:
    """Analyse several files in one interpreter start; they must be rendered by nextplate.

    A file runs as Python in the interpreter of those before it, so a file of unknown origin belongs in a call of
    its own. Raises as analyze does; the deadline is for all together. ``tables`` are the CSV parameters of each file,
    in order; none: no file has any.
    """
    given = [*paths, *(table for item in tables for table in item.values())]
    if missing := [str(path) for path in given if not path.is_file()]:
        raise DataError(f"no such protocol file: {', '.join(missing)}")
    if not paths:
        return []
    asked = [(path, tables[i] if tables else {}) for i, path in enumerate(paths)]
    with tempfile.TemporaryDirectory(prefix="nextplate-analysis-") as folder:
        said = _run(asked, python or Path(sys.executable), Path(folder), timeout_s)
        return [_read(path, Path(folder) / "work" / f"{i}.json", i, said) for i, path in enumerate(paths)]


def _run(asked: Sequence[tuple[Path, Mapping[str, Path]]], python: Path, folder: Path, timeout_s: float) -> str:
    """Run the interpreter; return what it said on stderr."""
    work = folder / "work"
    work.mkdir()
    # A minimal environment: another PYTHONPATH or HOME of the caller must not change the verdict.
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT") if name in os.environ}
    env = {**keep, "OT_API_CONFIG_DIR": str(folder / "config"), "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    files = [
        (str(path.resolve()), {name: str(table.resolve()) for name, table in tables.items()}) for path, tables in asked
    ]
    alive, held = os.pipe()
    arguments = [str(python), "-c", _RUNNER, json.dumps(files), str(alive), str(_CPU_PER_S * math.ceil(timeout_s))]
    try:
        process = subprocess.Popen(
            arguments, cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", start_new_session=True, pass_fds=(alive,),
        )  # fmt: skip
    except OSError as error:
        os.close(held)
        raise StepError(f"cannot start {python}: {error.strerror}; {INSTALL}") from error
    finally:
        os.close(alive)
    try:
        _, said = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        _end(process)
        is_in_file = b"version: " in (error.stderr or b"")  # else the interpreter itself hangs
        kind = AnalysisEndless if is_in_file else StepError
        raise kind(
            f"the analysis of {len(asked)} protocol file(s) took over {timeout_s:g} s; look for a loop without end in "
            f"{asked[0][0].name}, or raise proof.timeout_s of the lab"
        ) from error
    finally:
        os.close(held)
    _refuse(said, process.returncode, python)
    return said


def _end(process: subprocess.Popen[str]) -> None:
    """End an interpreter that runs still, and whatever a protocol started in it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _refuse(said: str, code: int, python: Path) -> None:
    """Raise where the interpreter is not one that can prove a protocol of ours.

    Raises:
        StepError: no opentrons, one that does not load on its Python, one that takes no OT-2, or no such interpreter.
    """
    lines = said.splitlines()
    version = next((line.removeprefix("version: ") for line in lines if line.startswith("version: ")), "")
    if "No module named 'opentrons'" in said and not version:
        raise StepError(f"{python} has no opentrons package; {INSTALL}")
    if bad := next((line for line in lines if line.startswith("no-import: ")), ""):
        raise StepError(f"the opentrons package of {python} does not load ({bad[11:]}); {INSTALL}")
    if not version:
        words = " ".join(" ".join(lines[-2:]).split())[:200] or "it said nothing"
        raise StepError(f"{python} is no Python with opentrons: it ended with {code} ({words}); {INSTALL}")
    if "designed for an OT-2" in said:
        raise StepError(f"opentrons {version} of {python} takes no OT-2 protocols; {INSTALL} as proof.robots.ot2")


def _read(path: Path, output: Path, number: int, said: str) -> Analysis:
    try:
        body = json.loads(output.read_bytes())
        errors = tuple(_error_words(error) for error in body["errors"])
        return Analysis(
            path, str(body["result"]), str(body["robotType"]), errors,
            tuple(body["commands"]), tuple(body["pipettes"]), tuple(body.get("labware", ())),
            tuple(body.get("labwareOffsets", ())), _tables(body.get("runTimeParameters", ())), _least_nl(output.parent),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        # The interpreter refused the file before it ran it; its words are the only record.
        mine = [line for line in said.splitlines() if line.startswith(f"{number}: ")]
        others = [line for line in said.strip().splitlines() if line.strip() and not _NOISE.search(line)]
        ended = "the file ended the interpreter (sys.exit or os._exit?), so nobody knows what it would do"
        words = mine or others[-3:] or [ended]
        return Analysis(path, "no-result", "", tuple(words), (), ())


def _least_nl(work: Path) -> dict[str, int]:
    try:
        found = json.loads((work / "least.json").read_bytes())
        return {str(name): round(float(volume_ul) * 1000) for name, volume_ul in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _tables(parameters: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(str(item["variableName"]) for item in parameters if item.get("type") == "csv_file")


def _error_words(error: Mapping[str, Any]) -> str:
    """Say what went wrong; of the errors inside only those that say something else."""
    words = f"{error.get('errorType')} {error.get('errorCode')}: {error.get('detail')}"
    inner = [e for e in error.get("wrappedErrors", []) if str(e.get("detail")).rpartition(": ")[2] not in words]
    return " <- ".join([words, *map(_error_words, inner)])


def transfers_of(analysis: Analysis) -> tuple[SeenTransfer, ...]:
    """Return the transfers the file really makes, re-derived from the interpreter's commands."""
    return read_commands(analysis.commands).transfers


def compare(analysis: Analysis, protocol: Protocol, load_index: int, *, offsets: Sequence[Offset] = ()) -> list[str]:
    """Return every difference between what the file does and the plan, naming wells; empty means proven.

    Args:
        analysis: of the file.
        protocol: the plan.
        load_index: of the load.
        offsets: those that the file was rendered with.

    Raises:
        PlanError: the protocol has no such load.
    """
    load = find_load(protocol, load_index)
    if not analysis.is_ok:
        return [f"{analysis.path.name}: the analysis ended {analysis.result}: {'; '.join(analysis.errors)}"]
    return compare_commands(
        analysis.commands, analysis.robot_type, protocol, load, offsets=offsets, set_offsets=analysis.offsets
    )
