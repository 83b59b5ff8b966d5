"""Steps of a BioTek EL406 as tables: what can be said of each, within which limits, and which bytes say it.

(U) Untested on hardware by us. facts/devices.md 4.4b has the numbers of the commands and not the layout of their data;
the layouts are those that PyLabRobot's EL406 backend documents (read 2026-11), and nobody here has compared them with
the maker's software. Try a program with water and an old plate first, or take the bytes of a step from a trace of the
maker's software and give them as step ``raw``.

A layout is a row of words: ``plate`` the plate's type; ``u8:x``, ``u16:x``, ``i8:x`` a field as an unsigned or signed
number, little-endian; ``columns`` six bytes, a bit for each column; two hexadecimal digits stand for themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PLATES: Mapping[int, int] = {96: 0x04, 384: 0x01, 1536: 0x00}
"""Plate formats, and their byte."""
N_COLUMNS: Mapping[int, int] = {96: 12, 384: 24, 1536: 48}
_WASH_Z: Mapping[int, int] = {96: 121, 384: 120, 1536: 94}
_ASPIRATE_Z: Mapping[int, int] = {96: 29, 384: 22, 1536: 42}
_DISPENSER_Z: Mapping[int, int] = {96: 336, 384: 333, 1536: 250}


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that can be said of a step."""

    low: int = 0
    high: int = 0xFFFF
    default: int | str | Mapping[int, int] | None = None
    """None: it has to be said. A table: by plate format."""
    words: Mapping[str, int] = field(default_factory=dict)
    """Where words stand for numbers."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One kind of step."""

    command: int
    fields: Mapping[str, Field]
    layout: str
    words: str
    """How a step is told to people; a format string of its fields."""
    does_empty: bool = False
    """It takes liquid out of wells."""


_BUFFER = Field(default="A", words={name: ord(name) for name in "ABCD"})
_XY = Field(-40, 40, 0)
_PRE_UL, _PRE_FLOW = Field(0, 3000, 0), Field(3, 11, 9)
_INTENSITY = Field(default="medium", words={"variable": 1, "slow": 2, "medium": 3, "fast": 4})
_SECONDS = Field(0, 3599, 0)
_YES_NO = {"no": 0, "yes": 1}

VERBS: Mapping[str, Verb] = {
    "wash": Verb(
        0xA4,
        {
            "cycles": Field(1, 250),
            "volume_ul": Field(25, 3000),
            "buffer": _BUFFER,
            "flow": Field(1, 9, 7),
            "dispense_x": _XY,
            "dispense_y": _XY,
            "dispense_z": Field(1, 210, _WASH_Z),
            "pre_dispense_ul": _PRE_UL,
            "pre_dispense_flow": Field(3, 9, 9),
            "vacuum_delay_ul": Field(0, 3000, 0),
            "travel": Field(1, 9, 3),
            "aspirate_x": _XY,
            "aspirate_y": _XY,
            "aspirate_z": Field(1, 210, _ASPIRATE_Z),
            "aspirate_delay_ms": Field(0, 5000, 0),
            "final_aspirate": Field(default="yes", words=_YES_NO),
            "final_delay_ms": Field(0, 5000, 0),
            "home_first": Field(default="no", words=_YES_NO),
            "shake_s": _SECONDS,
            "intensity": _INTENSITY,
            "soak_s": _SECONDS,
        },
        "plate 00 u8:final_aspirate 00 0F 00 u8:cycles "
        "u8:buffer u16:volume_ul u8:flow i8:dispense_x i8:dispense_y u16:dispense_z u16:pre_dispense_ul "
        "u8:pre_dispense_flow u16:vacuum_delay_ul 00 00 00 00 00 00 00 u16:final_delay_ms "
        "u8:travel 00 00 u16:aspirate_z 00 i8:aspirate_x i8:aspirate_y u16:aspirate_z 00 00 00 00 00 00 00 00 00 "
        "u16:aspirate_delay_ms "
        "u8:travel i8:aspirate_x i8:aspirate_y u16:aspirate_z 00 00 00 u16:aspirate_z 00 00 00 00 00 00 00 00 "
        "u8:buffer u16:volume_ul u8:flow i8:dispense_x i8:dispense_y u16:dispense_z u16:pre_dispense_ul "
        "u8:pre_dispense_flow u16:vacuum_delay_ul 00 00 00 00 00 00 "
        "u8:home_first u16:shake_s u8:intensity 00 u16:soak_s 00 00 00 00 00 00 00 00",
        "wash {cycles} x {volume_ul} ul of buffer {buffer}",
        does_empty=True,
    ),
    "aspirate": Verb(
        0xA5,
        {
            "travel": Field(1, 10, 3),
            "delay_ms": Field(0, 5000, 0),
            "x": Field(-60, 60, 0),
            "y": _XY,
            "z": Field(1, 210, _ASPIRATE_Z),
        },
        "plate 00 u16:delay_ms u8:travel i8:x i8:y u16:z 00 00 00 u16:z 00 00 FF 0F 00 00 00 00",
        "aspirate",
        does_empty=True,
    ),
    "dispense": Verb(
        0xA6,
        {
            "volume_ul": Field(25, 3000),
            "buffer": _BUFFER,
            "flow": Field(3, 11, 7),
            "x": Field(-60, 60, 0),
            "y": _XY,
            "z": Field(1, 210, _WASH_Z),
            "pre_dispense_ul": _PRE_UL,
            "pre_dispense_flow": _PRE_FLOW,
            "vacuum_delay_ul": Field(0, 3000, 0),
        },
        "plate u8:buffer u16:volume_ul u8:flow i8:x i8:y u16:z u16:pre_dispense_ul u8:pre_dispense_flow "
        "u16:vacuum_delay_ul 00 00 00 00 00 00",
        "dispense {volume_ul} ul of buffer {buffer}",
    ),
    "syringe": Verb(
        0xA1,
        {
            "volume_ul": Field(3, 3000),
            "syringe": Field(default="A", words={"A": 0, "B": 1}),
            "flow": Field(1, 5, 2),
            "x": Field(-125, 125, 0),
            "y": _XY,
            "z": Field(1, 1500, _DISPENSER_Z),
            "delay_ms": Field(0, 5000, 0),
            "pre_dispense_ul": _PRE_UL,
            "pre_dispenses": Field(0, 255, 2),
            "columns": Field(default=""),
        },
        "plate u8:syringe u16:volume_ul u8:flow i8:x i8:y u16:z u16:delay_ms u16:pre_dispense_ul u8:pre_dispenses "
        "columns bottle 00 00 00 00 00",
        "dispense {volume_ul} ul by syringe {syringe}",
    ),
    "peristaltic": Verb(
        0x8F,
        {
            "volume_ul": Field(1, 3000),
            "flow": Field(default="high", words={"low": 0, "medium": 1, "high": 2}),
            "cassette": Field(default="any", words={"any": 0, "1ul": 1, "5ul": 2, "10ul": 3}),
            "x": Field(-125, 125, 0),
            "y": _XY,
            "z": Field(1, 1500, _DISPENSER_Z),
            "pre_dispense_ul": Field(0, 3000, 10),
            "pre_dispenses": Field(0, 255, 2),
            "columns": Field(default=""),
        },
        "plate u16:volume_ul u8:flow u8:cassette i8:x i8:y u16:z u16:pre_dispense_ul u8:pre_dispenses columns "
        "00 01 00 00 00 00",
        "dispense {volume_ul} ul by the peristaltic pump",
    ),
    "shake": Verb(
        0xA3,
        {
            "shake_s": _SECONDS,
            "intensity": _INTENSITY,
            "soak_s": _SECONDS,
            "home_first": Field(default="yes", words=_YES_NO),
        },
        "plate u8:home_first u16:shake_s u8:intensity 00 u16:soak_s 00 00 00 00",
        "shake {shake_s} s, soak {soak_s} s",
    ),
}
"""By what a program's step calls them in ``do``."""
RAW_COMMANDS = frozenset({0x8F, 0x90, 0x91, *range(0xA1, 0xA9)})
"""Those that a step ``raw`` may send: the actions of a batch, and nothing that sets up or stops the device."""
CYCLE_S = 1.0
"""(U) No washer fills and empties every well of a plate in less."""
RAW_EMPTYING = frozenset({0xA4, 0xA5})


def data_of(verb: Verb, values: Mapping[str, Any], plate: int) -> bytes:
    """Return the data of a step's frame.

    Args:
        verb: Which kind of step.
        values: A number or a word for each of the verb's fields, checked; for ``columns`` a list of numbers from 1.
        plate: Its format, 96, 384 or 1536.
    """
    return b"".join(_piece(word, verb, values, plate) for word in verb.layout.split())


def least_s(values: Mapping[str, Any]) -> float:
    """Return how long a step takes at least, in seconds: what it is told to wait, and a second for each wash cycle."""
    cycles = int(values.get("cycles", 1))
    waits_ms = cycles * values.get("aspirate_delay_ms", 0) + values.get("final_delay_ms", 0) + values.get("delay_ms", 0)
    washing_s = CYCLE_S * cycles if "cycles" in values else 0.0
    return float(washing_s + values.get("shake_s", 0) + values.get("soak_s", 0) + waits_ms / 1000)


def _piece(word: str, verb: Verb, values: Mapping[str, Any], plate: int) -> bytes:
    if word == "plate":
        return bytes([PLATES[plate]])
    if word == "columns":
        return _columns(values["columns"])
    if word == "bottle":
        return bytes([2 * _number("syringe", verb, values)])
    kind, _, name = word.partition(":")
    if not name:
        return bytes.fromhex(word)
    return _number(name, verb, values).to_bytes(2 if kind == "u16" else 1, "little", signed=kind == "i8")


def _number(name: str, verb: Verb, values: Mapping[str, Any]) -> int:
    value = values[name]
    return verb.fields[name].words[value] if isinstance(value, str) else int(value)


def _columns(columns: list[int]) -> bytes:
    """Return a bit for each column, all of them where none is named."""
    bits = sum(1 << (column - 1) for column in set(columns)) if columns else (1 << 48) - 1
    return bits.to_bytes(6, "little")
