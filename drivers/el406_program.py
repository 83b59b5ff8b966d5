"""A program of a BioTek EL406 as a small file of steps, checked before anything moves.

::

    # programs/wash-3x80.toml
    plate = 384
    [[step]]
    do = "wash"
    cycles = 3
    volume_ul = 80
    [[step]]
    do = "shake"
    shake_s = 10
    soak_s = 60
    [[step]]
    do = "raw"            # the bytes of a step, as traced from the maker's software
    command = "A5"
    data = "01 00 00 00 03 00 00 16 00 00 00 00 16 00 00 00 FF 0F 00 00 00 00"

Verbs and their fields: `drivers.el406_payloads`.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from drivers.el406_frames import Frame, encoded
from drivers.el406_payloads import N_COLUMNS, PLATES, RAW_COMMANDS, RAW_EMPTYING, VERBS, Field, Verb, data_of, least_s
from drivers.program_handler import Program
from drivers.program_options import program_file, program_text
from nextplate.errors import NeedsOperator

ENDING = ".toml"
MAX_STEPS = 50
_STEP = re.compile(r"^\s*\[\[\s*step\s*\]\]")


def plate_byte(program: Program) -> int:
    """Return the plate type that a program is for."""
    return int(program.parts[0])


def frame_of(program: Program, n: int) -> Frame:
    """Return the frame that starts a step, counted from 0."""
    return _sent(program, n).frame


def least_s_of(program: Program, n: int) -> float:
    """Return how long a step takes at least, in seconds; 0 where nobody knows."""
    return _sent(program, n).least_s


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a step is to the device."""

    frame: Frame
    least_s: float


def _sent(program: Program, n: int) -> _Sent:
    part = program.parts[1 + n]
    assert isinstance(part, _Sent)
    return part


def read_program(folder: Path, name: str, *, may_empty: bool) -> Program:
    """Read and check a program.

    Args:
        folder: Where the programs are.
        name: Of the file, without its ending.
        may_empty: False for a dispenser: no step may take liquid out of a well.

    Raises:
        NeedsOperator: it is not there or wrong; names file, line and fix.
    """
    source = _Source(program_file(folder, name, ENDING), program_text(folder, name, ENDING))
    body = source.body()
    if unknown := sorted(set(body) - {"plate", "step"}):
        source.wrong(None, unknown[0], f"{unknown[0]!r} is not of a program, which has plate and [[step]]")
    plate = body.get("plate")
    if type(plate) is not int or plate not in PLATES:
        source.wrong(None, "plate", f"plate = {plate!r}; give plate = {', '.join(map(str, PLATES))}")
    steps = body.get("step")
    if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
        source.wrong(None, "step", f"a program has 1 to {MAX_STEPS} steps, each under [[step]]")
    read = [_Step(source, n, step, plate, may_empty).read() for n, step in enumerate(steps)]
    sent, words = tuple(sent for sent, _ in read), tuple(said for _, said in read)
    digest = hashlib.sha256(bytes([PLATES[plate]]) + b"".join(encoded(one.frame) for one in sent)).hexdigest()
    return Program(name, words, digest, (PLATES[plate], *sent))


class _Source:
    """A file, and where in it something stands."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def body(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise NeedsOperator(f"{self._path}: {error}; a program is TOML") from error

    def wrong(self, step: int | None, key: str, text: str) -> NoReturn:
        where = f"{self._path}, line {self._line(step, key)}"
        raise NeedsOperator(f"{where}: {text}" if step is None else f"{where} (step {step + 1}): {text}")

    def _line(self, step: int | None, key: str) -> int:
        """Return the line of a key, or of the head of its step."""
        lines = self._text.splitlines()
        heads = [n for n, line in enumerate(lines) if _STEP.match(line)]
        if step is None or step >= len(heads):
            first, last = 0, heads[0] if heads else len(lines)
        else:
            first, last = heads[step], heads[step + 1] if step + 1 < len(heads) else len(lines)
        wanted = re.compile(rf"^\s*[\"']?{re.escape(key)}[\"']?\s*=")
        return next((n for n in range(first, last) if wanted.match(lines[n])), first) + 1


class _Step:
    """One step, being checked."""

    def __init__(self, source: _Source, n: int, body: Any, plate: int, may_empty: bool) -> None:
        self._source, self._n, self._plate, self._may_empty = source, n, plate, may_empty
        self._body: Mapping[str, Any] = body if isinstance(body, dict) else {}

    def read(self) -> tuple[_Sent, str]:
        do = self._body.get("do")
        if do == "raw":
            return self._raw()
        verb = VERBS.get(do) if isinstance(do, str) else None
        if verb is None:
            self._wrong("do", f"do = {do!r}; a step is one of {', '.join([*VERBS, 'raw'])}")
        self._check_emptying(verb.does_empty)
        values = self._values(verb)
        if do == "shake" and not values["shake_s"] + values["soak_s"]:
            self._wrong("shake_s", "a step that neither shakes nor soaks does nothing; give shake_s or soak_s")
        if do == "wash" and values["flow"] <= 2 and not values["vacuum_delay_ul"]:
            self._wrong("flow", "flow 1 and 2 wash cells gently, and need vacuum_delay_ul above 0")
        frame = Frame(verb.command, data_of(verb, values, self._plate))
        return _Sent(frame, least_s(values)), verb.words.format(**values)

    def _values(self, verb: Verb) -> dict[str, Any]:
        if unknown := [name for name in self._body if name not in verb.fields and name != "do"]:
            self._wrong(unknown[0], f"{unknown[0]!r} is not of {self._body['do']!r}: {', '.join(verb.fields)}")
        return {name: self._value(name, field) for name, field in verb.fields.items()}

    def _value(self, name: str, field: Field) -> Any:
        if name not in self._body:
            if field.default is None:
                self._wrong("do", f"{name} is missing; give {name} = {field.low} to {field.high}")
            if name == "columns":
                return []
            return field.default[self._plate] if isinstance(field.default, Mapping) else field.default
        value = self._body[name]
        if name == "columns":
            return self._columns(value)
        if field.words:
            if not (isinstance(value, str) and value in field.words):
                self._wrong(name, f"{name} = {value!r}; give one of {', '.join(map(repr, field.words))}")
        elif type(value) is not int or not field.low <= value <= field.high:
            self._wrong(name, f"{name} = {value!r}; give a whole number from {field.low} to {field.high}")
        return value

    def _columns(self, value: Any) -> list[int]:
        n = N_COLUMNS[self._plate]
        if not (isinstance(value, list) and value and all(type(c) is int and 1 <= c <= n for c in value)):
            self._wrong(
                "columns", f"columns = {value!r}; give a list of numbers from 1 to {n}, or leave it out for all"
            )
        return value

    def _raw(self) -> tuple[_Sent, str]:
        if unknown := [name for name in self._body if name not in ("do", "command", "data")]:
            self._wrong(unknown[0], f"{unknown[0]!r} is not of 'raw': command, data")
        command, data = self._hexadecimal("command"), self._hexadecimal("data")
        number = int.from_bytes(command, "big")
        if number not in RAW_COMMANDS:
            known = " ".join(f"{c:02X}" for c in sorted(RAW_COMMANDS))
            self._wrong("command", f"command {command.hex().upper() or 'none'} is no step; one of {known} is")
        if len(data) < 2 or len(data) > 250:
            self._wrong("data", f"data has {len(data)} bytes; a step has 2 to 250")
        if data[0] != PLATES[self._plate]:
            self._wrong("data", f"data is for plate type {data[0]:02X}; this program's plate is {self._plate}")
        self._check_emptying(number in RAW_EMPTYING)
        return _Sent(Frame(number, data), 0.0), f"step {number:02X} with {len(data)} given bytes"

    def _hexadecimal(self, name: str) -> bytes:
        value = self._body.get(name)
        try:
            return bytes.fromhex(value) if isinstance(value, str) else b""
        except ValueError:
            self._wrong(name, f'{name} = {value!r} is not hexadecimal, such as "A4" or "04 0a 00"')

    def _check_emptying(self, does_empty: bool) -> None:
        if does_empty and not self._may_empty:
            self._wrong("do", "this takes liquid out of wells, which a dispenser's program may not; make it a washer's")

    def _wrong(self, key: str, text: str) -> NoReturn:
        self._source.wrong(self._n, key, text)
