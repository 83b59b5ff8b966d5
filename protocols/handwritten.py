"""Keep the books of a vendor's protocol file that somebody wrote by hand: what its commands draw, give and hold.

The vendor's interpreter follows every motion and accounts for no volume. Here its command list (opentrons 9.0.0, as
``protocols.analyze`` returns it) is gone through once more: air gaps, mixing, several dispenses of one draw, eight
channels. A command that could move liquid in a way that is not followed here is a problem.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nextplate.plate import parse_well, well_name
from protocols.labware import LABWARE, PIPETTES, Pipette
from protocols.problems import Problem, ProblemKind
from protocols.proof_reader import PAUSES, said_by
from protocols.volumes import WellKey

HARMLESS = frozenset(
    {
        "home", "comment", "custom", "configureForVolume", "moveToAddressableArea", "moveToAddressableAreaForDropTip",
        "waitForDuration", "setRailLights", "loadModule", "moveRelative", "savePosition",
        "prepareToAspirate", "touchTip", "verifyTipPresence", "getTipPresence", "airGapInPlace", "loadLid",
        "moveToCoordinates", "retractAxis", "setStatusBar", "liquidProbe", "tryLiquidProbe", "getNextTip",
    }
)  # fmt: skip
"""Commands that move no liquid between wells."""
_HARMLESS_MODULES = ("heaterShaker/", "thermocycler/", "temperatureModule/", "magneticModule/", "absorbanceReader/")

Command = Mapping[str, Any]


@dataclass(slots=True)
class _Plate:
    name: str
    """Its label, else its kind and slot."""
    load_name: str
    columns: Sequence[Sequence[str]]
    """Wells as the vendor spells them, column by column."""
    max_nl: Mapping[str, int]


@dataclass(slots=True)
class _Head:
    """A pipette and what its tips hold: the first of eight stands for all."""

    tool: Pipette | None
    name: str
    n_channels: int
    n_active: int
    at: tuple[_Plate, str] | None = None
    held: list[tuple[int, tuple[WellKey, ...]]] = field(default_factory=list)
    """Drawn and not given yet, in order: nanolitres and the wells, none for air."""
    drawn_from: set[WellKey] = field(default_factory=set)
    """By the tip that is on."""
    given_to: set[WellKey] = field(default_factory=set)


@dataclass(slots=True)
class Account:
    """What a file does to the wells."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is allowed and worth knowing: where carry-over is possible."""
    volumes: dict[WellKey, int] = field(default_factory=dict)
    """At the end, nanolitres by well."""
    drawn: dict[WellKey, int] = field(default_factory=dict)
    n_draws: int = 0


@dataclass(slots=True)
class _Reader:
    account: Account
    known: Mapping[WellKey, int]
    plates: dict[str, _Plate] = field(default_factory=dict)
    heads: dict[str, _Head] = field(default_factory=dict)
    given: set[WellKey] = field(default_factory=set)
    """Wells that something is known of."""
    reported: set[tuple[ProblemKind, WellKey]] = field(default_factory=set)
    is_attended: bool = False


def account(
    commands: Sequence[Command], known: Mapping[WellKey, int] | None = None, *, is_attended: bool = False
) -> Account:
    """Go through the commands of an analysis.

    Args:
        commands: in order.
        known: nanolitres in wells of labelled labware, by label and zero-padded well; for these a lab's books hold,
            whatever the file declares. Of other wells the file's own ``load_liquid`` counts.
        is_attended: a person stands by; a step that waits for one is then a note and not a problem.
    """
    books = Account(volumes=dict(known or {}))
    reader = _Reader(books, known or {}, given=set(known or {}), is_attended=is_attended)
    for number, command in enumerate(commands, start=1):
        try:
            _step(reader, number, command)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            kind = command.get("commandType") if isinstance(command, Mapping) else command
            _problem(reader, ProblemKind.STEP, number, f"a {kind!r:.60} command cannot be followed ({error!r:.100})")
    return reader.account


def _step(reader: _Reader, number: int, command: Command) -> None:
    kind, params, result = str(command["commandType"]), command["params"], command.get("result") or {}
    match kind:
        case "loadLabware" | "reloadLabware":
            reader.plates[str(result["labwareId"])] = _plate(params, result["definition"])
        case "loadPipette":
            reader.heads[str(result["pipetteId"])] = _head(str(params["pipetteName"]))
        case "loadLiquid":
            _declare(reader, number, reader.plates[params["labwareId"]], params["volumeByWell"])
        case "configureNozzleLayout":
            _nozzles(reader, number, params)
        case "pickUpTip":
            head = reader.heads[params["pipetteId"]]
            head.held, head.drawn_from, head.given_to = [], set(), set()
        case "dropTip" | "dropTipInPlace":
            reader.heads[params["pipetteId"]].held = []
        case "moveToWell":
            _go(reader, params)
        case "aspirate" | "aspirateInPlace":
            _aspirate(reader, number, _go(reader, params), params)
        case "dispense" | "dispenseInPlace":
            _dispense(reader, number, _go(reader, params), _nl(params["volume"]))
        case "blowout" | "blowOutInPlace":
            head = _go(reader, params)
            head.at = head.at if kind == "blowout" else None
            _dispense(reader, number, head, sum(nl for nl, _ in head.held))
        case "moveLabware":
            _carry(reader, number, params)
        case _ if kind in PAUSES:
            _wait(reader, number, f"the file pauses {said_by(params)}and waits for a person")
        case _ if kind not in HARMLESS and not kind.startswith(_HARMLESS_MODULES):
            _problem(reader, ProblemKind.STEP, number, f"the file does {kind}, which is not followed here")


def _carry(reader: _Reader, number: int, params: Mapping[str, Any]) -> None:
    """Look who carries; where the labware stands does not matter, it is known by its id."""
    if (how := str(params.get("strategy", "usingGripper"))) == "manualMoveWithPause":
        plate = reader.plates.get(str(params.get("labwareId")))
        what = plate.name if plate else "labware"
        _wait(reader, number, f"the file waits for a person to carry {what} ({how})")


def _wait(reader: _Reader, number: int, words: str) -> None:
    """Enter a step that somebody has to be there for, after the last draw that was followed."""
    where = f" (after draw {reader.account.n_draws})" if reader.account.n_draws else ""
    if reader.is_attended:
        reader.account.notes.append(f"command {number}{where}: {words}; somebody has to stand by")
        return
    words = f"{words}; nobody is there at night: take it out, or check it with --attended"
    _problem(reader, ProblemKind.ATTENDED, number, f"{where.strip()} {words}".strip())


def _plate(params: Mapping[str, Any], definition: Mapping[str, Any]) -> _Plate:
    location = params["location"]
    slot = (
        location.get("slotName") or location.get("addressableAreaName") if isinstance(location, Mapping) else location
    )
    load_name = str(definition["parameters"]["loadName"])
    wells = {str(w): _nl(item.get("totalLiquidVolume", 0)) for w, item in definition["wells"].items()}
    name = str(params.get("displayName") or f"{load_name} in {slot or 'its place'}")
    return _Plate(name, load_name, definition["ordering"], wells)


def _head(name: str) -> _Head:
    tool = next((item for item in PIPETTES.values() if item.engine_name == name), None)
    n = 96 if name.endswith("_96") else 8 if "multi" in name else 1
    return _Head(tool, name, n, n)


def _nozzles(reader: _Reader, number: int, params: Mapping[str, Any]) -> None:
    head, style = reader.heads[params["pipetteId"]], str(params["configurationParams"]["style"])
    counts = {"ALL": head.n_channels, "SINGLE": 1, "COLUMN": 8}
    if style not in counts:
        _problem(reader, ProblemKind.STEP, number, f"nozzles of {head.name} laid out as {style} are not followed here")
    head.n_active = counts.get(style, 1)


def _declare(reader: _Reader, number: int, plate: _Plate, volumes: Mapping[str, Any]) -> None:
    for well, volume in volumes.items():
        key = plate.name, _padded(well)
        if key in reader.known:
            continue
        volume_nl = 0 if volume == "empty" else _nl(volume)
        reader.account.volumes[key] = volume_nl
        reader.given.add(key)
        if volume_nl > plate.max_nl[well]:
            words = f"{key[1]} of {key[0]} is declared to hold {volume_nl} nl, its maximum is {plate.max_nl[well]}"
            _problem(reader, ProblemKind.OVERFILL, number, words, key)


def _go(reader: _Reader, params: Mapping[str, Any]) -> _Head:
    """Return the pipette of a command, at the well it names; in-place commands stay where they are."""
    head = reader.heads[params["pipetteId"]]
    if "labwareId" in params:
        head.at = reader.plates[params["labwareId"]], str(params["wellName"])
    return head


def _aspirate(reader: _Reader, number: int, head: _Head, params: Mapping[str, Any]) -> None:
    volume_nl = _nl(params["volume"])
    location = params.get("wellLocation", {})
    is_air = location.get("origin", "top") == "top" and float(location.get("offset", {}).get("z", -1)) > 0
    if is_air or head.at is None:
        head.held.append((volume_nl, ()))
        return
    keys = _wells(head)
    if head.tool and 0 < volume_nl < head.tool.min_nl:
        words = f"{volume_nl} nl from {_named(keys)} are under the {head.tool.min_nl} nl minimum of {head.name}"
        _problem(reader, ProblemKind.VOLUME, number, words, keys[0])
    dead_nl = LABWARE[head.at[0].load_name].dead_volume_nl if head.at[0].load_name in LABWARE else 0
    for key in keys:
        _draw(reader, number, key, volume_nl, 0 if key in head.given_to else dead_nl)
    if head.drawn_from and keys[0] not in head.drawn_from | head.given_to:
        before = ", ".join(sorted(f"{well} of {plate}" for plate, well in head.drawn_from)[:3])
        reader.account.notes.append(
            f"command {number}: the tip that drew from {before} draws from {_named(keys)}: carry-over is possible"
        )
    head.drawn_from.update(keys)
    head.held.append((volume_nl, keys))
    reader.account.n_draws += 1


def _draw(reader: _Reader, number: int, key: WellKey, volume_nl: int, dead_nl: int) -> None:
    books = reader.account
    before = books.volumes.get(key, 0)
    books.volumes[key] = before - volume_nl
    books.drawn[key] = books.drawn.get(key, 0) + volume_nl
    if before - volume_nl >= dead_nl or (ProblemKind.OVERDRAW, key) in reader.reported:
        return
    reader.reported.add((ProblemKind.OVERDRAW, key))
    words = f"overdraw: {key[1]} of {key[0]} holds {before} nl, {dead_nl} of them dead volume, and gives {volume_nl}"
    if key not in reader.given:
        words = f"{key[1]} of {key[0]} is drawn from ({volume_nl} nl), and nothing says that it was filled"
    _problem(reader, ProblemKind.OVERDRAW, number, words, key)


def _dispense(reader: _Reader, number: int, head: _Head, volume_nl: int) -> None:
    """Give what is at the end of the tip first: what was drawn last."""
    liquid_nl = 0
    left_nl = volume_nl
    while left_nl > 0 and head.held:
        there_nl, wells = head.held.pop()
        part_nl = min(left_nl, there_nl)
        left_nl -= part_nl
        liquid_nl += part_nl if wells else 0
        if there_nl > part_nl:
            head.held.append((there_nl - part_nl, wells))
    if head.at is None or not liquid_nl:
        return
    plate, books = head.at[0], reader.account
    for key, well in zip(_wells(head), _spelled(head), strict=True):
        books.volumes[key] = books.volumes.get(key, 0) + liquid_nl
        head.given_to.add(key)
        reader.given.add(key)
        is_new = (ProblemKind.OVERFILL, key) not in reader.reported
        if books.volumes[key] > plate.max_nl[well] and is_new:
            reader.reported.add((ProblemKind.OVERFILL, key))
            words = f"overfill: {key[1]} of {key[0]} would hold {books.volumes[key]} nl, its maximum is"
            _problem(reader, ProblemKind.OVERFILL, number, f"{words} {plate.max_nl[well]}", key)


def _wells(head: _Head) -> tuple[WellKey, ...]:
    assert head.at is not None
    return tuple((head.at[0].name, _padded(well)) for well in _spelled(head))


def _spelled(head: _Head) -> Iterator[str]:
    """Return the well of each channel, as the vendor spells it; a trough once for each."""
    assert head.at is not None
    plate, well = head.at
    if head.n_active == 1:
        yield well
        return
    columns = plate.columns if head.n_active == 96 else [column for column in plate.columns if well in column]
    for column in columns:
        n_rows, first = len(column), column.index(well) if well in column else 0
        pitch = max(1, n_rows // 8)
        yield from (column[first + i * pitch] if n_rows >= 8 else column[first] for i in range(8))


def _named(keys: Sequence[WellKey]) -> str:
    first = f"{keys[0][1]} of {keys[0][0]}"
    return first if len(keys) == 1 else f"{first} and {len(keys) - 1} more wells"


def _padded(well: str) -> str:
    return well_name(*parse_well(well))


def _nl(volume_ul: Any) -> int:
    return round(float(volume_ul) * 1000)


def _problem(reader: _Reader, kind: ProblemKind, number: int, words: str, key: WellKey = ("", "")) -> None:
    reader.account.problems.append(Problem(kind, f"command {number}: {words}", *key, step=number))
