"""All formats behind two functions, and the one settings file that says how a lab's software wants them.

::

    unit = "uL"                    # with [columns]: protocols.worklists.columns
    [columns]
    ...
    [gwl]
    liquid_class = "DMSO"
    wash = "W1"
    [echo]
    droplet_nl = 2.5
    [echo.types]                   # plate type of the dispenser's software, by load name
    "labcyte_384_ldv" = "384LDV_DMSO"
    [echo.windows_ul]              # least and most that a source well may hold
    "labcyte_384_ldv" = [2.5, 12.0]
    [result]                       # protocols.worklists.results; of an Echo, the columns of its report
    actual = "Actual Volume"
    [trace]                        # protocols.worklists.hamilton_trace
    encoding = "cp1252"
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from nextplate.errors import DataError, PlanError
from protocols.labware import PIPETTES, labware
from protocols.model import DeckLoad, Protocol
from protocols.worklists.account import Account
from protocols.worklists.columns import TESELAGEN, ColumnMapping, read_mapping, write_columns
from protocols.worklists.echo import EchoPlates, write_echo
from protocols.worklists.echo_report import EchoReport, read_echo_report
from protocols.worklists.gwl import write_gwl
from protocols.worklists.hamilton_trace import TraceForm, read_hamilton_trace, read_trace_form
from protocols.worklists.names import Names
from protocols.worklists.opentrons_record import read_opentrons_record
from protocols.worklists.picks import Written, listed
from protocols.worklists.plr import write_plr
from protocols.worklists.results import ResultColumns, read_result_columns, read_results

LISTS = {"gwl": ".gwl", "echo": ".csv", "csv": ".csv", "pylabrobot": ".py"}
"""Formats that can be written, and how their files end."""
RESULTS = ("echo", "table", "opentrons", "hamilton")
"""Formats of what comes back."""
RESULT_OF = {"gwl": "table", "echo": "echo", "csv": "table"}
"""What comes back of which list, unless another is named."""


@dataclass(frozen=True, slots=True)
class ListSettings:
    """How one lab's software wants its lists and writes its results."""

    mapping: ColumnMapping = TESELAGEN
    echo: EchoPlates = field(default_factory=EchoPlates)
    liquid_class: str = ""
    wash: str = "W1"
    result: ResultColumns = field(default_factory=ResultColumns)
    report: EchoReport = field(default_factory=EchoReport)
    trace: TraceForm = field(default_factory=TraceForm)


def read_settings(body: Mapping[str, Any]) -> ListSettings:
    """Read the settings file's values; an empty one is all defaults.

    Raises:
        DataError: names what is unknown or wrong.
    """
    own = {"gwl", "echo", "trace"}
    rest = {name: value for name, value in body.items() if name not in own}
    mapping = read_mapping(rest) if rest.keys() - {"result"} else TESELAGEN
    gwl, result = _table(body, "gwl", ("liquid_class", "wash")), _table(body, "result", None)
    report = EchoReport()
    return ListSettings(
        mapping=mapping,
        echo=_echo(_table(body, "echo", ("droplet_nl", "types", "windows_ul"))),
        liquid_class=_text(gwl, "liquid_class", ""),
        wash=_text(gwl, "wash", "W1"),
        result=read_result_columns(result),
        report=replace(report, columns=read_result_columns(result, report.columns)),
        trace=read_trace_form(_texts(_table(body, "trace", tuple(f.name for f in fields(TraceForm))))),
    )


def _table(body: Mapping[str, Any], name: str, allowed: tuple[str, ...] | None) -> Mapping[str, Any]:
    table = body.get(name, {})
    if not isinstance(table, Mapping):
        raise DataError(f"{name} is {table!r:.40}, not a table")
    if allowed is not None and (unknown := sorted(set(table) - set(allowed))):
        raise DataError(f"{name}: {unknown[0]!r:.40} is not known; known are {', '.join(allowed)}")
    return table


def _text(table: Mapping[str, Any], name: str, default: str) -> str:
    value = table.get(name, default)
    if not isinstance(value, str):
        raise DataError(f"{name} is {value!r:.40}, not text")
    return value


def _texts(table: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(table, name, "") for name in table}


def _echo(table: Mapping[str, Any]) -> EchoPlates:
    droplet_nl, types = table.get("droplet_nl", 2.5), _table(table, "types", None)
    windows = _table(table, "windows_ul", None)
    if isinstance(droplet_nl, bool) or not isinstance(droplet_nl, int | float) or not math.isfinite(droplet_nl):
        raise DataError(f"echo: droplet_nl is {droplet_nl!r:.40}, not 2.5 or 25")
    for name in (*types, *windows):
        labware(name)
    if bad := [value for value in types.values() if not isinstance(value, str) or not _is_plain(value)]:
        raise DataError(f"echo: type {bad[0]!r:.40} is no printable ASCII without separators")
    return EchoPlates(round(droplet_nl * 1000), dict(types), {n: _window(n, pair) for n, pair in windows.items()})


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and text[:1] not in ("=", "+", "-", "@") and not set(text) & set(',;"')


def _window(name: str, pair: Any) -> tuple[int, int]:
    if (
        not isinstance(pair, list)
        or len(pair) != 2
        or not all(isinstance(x, int | float) and math.isfinite(x) for x in pair)
    ):
        raise DataError(f"echo: window of {name} is {pair!r:.40}, not [least, most] in microlitres")
    return round(pair[0] * 1000), round(pair[1] * 1000)


def write_list(kind: str, protocol: Protocol, load_index: int, settings: ListSettings) -> Written:
    """Write a load in one of LISTS.

    Raises:
        DataError: an unknown format.
        PlanError: what the format cannot say, with the well.
    """
    if kind == "echo":
        _require_sound(protocol)
    return _written(kind, protocol, load_index, settings)


def _written(kind: str, protocol: Protocol, load_index: int, settings: ListSettings) -> Written:
    match kind:
        case "gwl":
            return write_gwl(protocol, load_index, liquid_class=settings.liquid_class, wash=settings.wash)
        case "echo":
            return write_echo(protocol, load_index, settings.echo)
        case "csv":
            return write_columns(protocol, load_index, settings.mapping)
        case "pylabrobot":
            return write_plr(protocol, load_index)
    raise DataError(f"format {kind!r:.40} is not known; known are {', '.join(LISTS)}")


def _require_sound(protocol: Protocol) -> None:
    """Refuse to write for an acoustic dispenser what was compiled for tips: plates, volumes and order are not its own.

    Raises:
        PlanError: it was.
    """
    tool = PIPETTES.get(protocol.pipette)
    if tool is None or not tool.is_acoustic:
        raise PlanError(
            f"{protocol.name} was compiled for the {protocol.robot} with {protocol.pipette} and its tips, not for "
            "sound; compile it for robot 'echo'"
        )


def read_result(kind: str, raw: bytes, load: DeckLoad, names: Names, settings: ListSettings) -> Account:
    """Read what came back, in one of RESULTS.

    Raises:
        DataError: an unknown format, or a file that does not fit this load; says where.
    """
    match kind:
        case "echo":
            return read_echo_report(raw, load, names, settings.report)
        case "table":
            return read_results(raw, load, names, settings.result)
        case "opentrons":
            return read_opentrons_record(raw, load)
        case "hamilton":
            return read_hamilton_trace(raw, load, names, settings.trace)
    raise DataError(f"result format {kind!r:.40} is not known; known are {', '.join(RESULTS)}")


def names_of(protocol: Protocol, load_index: int, kind: str, settings: ListSettings) -> Names:
    """Return the labels that the list of a load has, which a result repeats.

    Raises:
        PlanError: the load cannot be written.
    """
    return _written(kind, protocol, load_index, settings).names if kind in LISTS else listed(protocol, load_index).names
