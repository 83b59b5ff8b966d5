"""Keep the books of a vendor's protocol file that somebody wrote by hand: what its commands draw, give and hold.

The vendor's interpreter follows every motion and accounts for no volume. Here its command list (opentrons 9.0.0, as
``protocols.analyze`` returns it) is gone through once more: air gaps, mixing, several dispenses of one draw, eight
channels. A command that could move liquid in a way that is not followed here is a problem.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nextplate.errors import DataError
from protocols.handwritten_books import (
    Account,
    Head,
    Placed,
    Plate,
    Reader,
    spelled_under,
    wells_named,
    wells_under,
)
from protocols.handwritten_tips import MEDIUM, drop, enters_to_draw, enters_to_give, mixed_in, pick_up, set_tips
from protocols.handwritten_wells import WHOLE, label_of, nanolitres, nozzles_of, padded, plates_filled, slot_of
from protocols.labware import LABWARE, PIPETTES
from protocols.problems import ProblemKind
from protocols.proof_reader import PAUSES, said_by
from protocols.sentences import well_on
from protocols.tip_past import Liquid
from protocols.volumes import WellKey

HARMLESS = frozenset(
    {
        "loadLiquidClass", "comment", "custom", "configureForVolume", "waitForDuration", "setRailLights",
        "savePosition", "prepareToAspirate", "touchTip", "verifyTipPresence", "getTipPresence",
        "setStatusBar", "liquidProbe", "tryLiquidProbe", "getNextTip",
    }
)  # fmt: skip
"""Commands that move no liquid; one that names a well takes the pipette there."""
_AWAY = frozenset({"home", "retractAxis", "moveToAddressableArea", "moveToAddressableAreaForDropTip"})
"""Commands after which a pipette is over no well: over the trash, the chute, or at the top."""
_ASTRAY = frozenset({"moveRelative", "moveToCoordinates"})
"""Commands after which nobody can tell over which well it is."""
_TRASH = "fixedTrash"
"""Labware of an OT-2 that no command loads."""
_HARMLESS_MODULES = ("heaterShaker/", "thermocycler/", "temperatureModule/", "magneticModule/", "absorbanceReader/")

Command = Mapping[str, Any]


def account(
    commands: Sequence[Command],
    known: Mapping[WellKey, int] | None = None,
    *,
    is_attended: bool = False,
    least_nl: Mapping[str, int] | None = None,
    fill_nl: int = 0,
    liquids: Mapping[WellKey, Liquid] | None = None,
    is_whole: bool = True,
) -> Account:
    """Go through the commands of an analysis.

    Args:
        commands: in order.
        known: nanolitres in wells of labelled labware, by label and zero-padded well; for these a lab's books hold,
            whatever the file declares. Of other wells the file's own ``load_liquid`` counts.
        is_attended: a person stands by; a step that waits for one is then a note and not a problem.
        least_nl: least that pipettes move, by the engine's name, where ours are not known (Analysis.least_nl).
        fill_nl: what stands in every well of the plates that the file fills and says nothing of.
        liquids: in the wells of ``known``; one that is not named is like no other.
        is_whole: the commands go to the file's end; False: it failed before, and nothing is said of how it ends.
    """
    books = Account(volumes=dict(known or {}))
    stock = {key for key, volume_nl in (known or {}).items() if volume_nl > 0}
    reader = Reader(
        books, known or {}, given=set(known or {}), is_attended=is_attended, least_nl=least_nl or {}, fill_nl=fill_nl,
        filled=plates_filled(commands) if fill_nl else frozenset(), stock=stock, sources=set(stock),
        liquids={key: frozenset({liquid}) for key, liquid in (liquids or {}).items()},
    )  # fmt: skip
    for number, command in enumerate(commands, start=1):
        try:
            # What failed or was not done is among the errors of the analysis already.
            if not (isinstance(command, Mapping) and command.get("status") in ("failed", "queued", "running")):
                _step(reader, number, command)
        except DataError as error:
            reader.report(ProblemKind.WELL, number, str(error))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            kind = command.get("commandType") if isinstance(command, Mapping) else command
            reader.report(ProblemKind.STEP, number, f"a {kind!r:.60} command cannot be followed ({error!r:.100})")
    for head in reader.heads.values():
        if head.tips and is_whole:
            words = f"the file ends with the tip of {wells_named(head.tips)} on {head.name}; drop it"
            reader.report(ProblemKind.TIP, len(commands), words, head.tips[0])
    return reader.account


def _step(reader: Reader, number: int, command: Command) -> None:
    kind, params, result = str(command["commandType"]), command["params"], command.get("result") or {}
    match kind:
        case "loadLabware" | "reloadLabware":
            _load(reader, number, params, result)
        case "loadPipette":
            reader.heads[str(result["pipetteId"])] = _head(str(params["pipetteName"]), reader.least_nl)
            reader.account.tools.append(str(params["pipetteName"]))
        case "loadModule":
            reader.account.modules.append((str(params["model"]), slot_of(params["location"])))
        case "loadLiquid":
            _declare(reader, number, params)
        case "configureNozzleLayout":
            head = reader.heads[params["pipetteId"]]
            head.nozzles = nozzles_of(params["configurationParams"], head.n_channels)
        case "setTipState":
            set_tips(reader, number, params)
        case "loadLid":
            _cover(reader, str(result["labwareId"]), params["location"])
        case "moveLabware":
            _leave(reader)
            _cover(reader, str(params["labwareId"]), params["newLocation"])
            _carry(reader, number, params)
        case _ if kind in PAUSES:
            _wait(reader, number, f"the file pauses {said_by(params)}and waits for a person")
        case _ if "pipetteId" in params:
            _motion(reader, number, kind, params)
        case _ if kind in _AWAY:
            _leave(reader)
        case _ if kind not in HARMLESS and not kind.startswith(_HARMLESS_MODULES):
            reader.report(ProblemKind.STEP, number, f"the file does {kind}, which is not followed here")


def _cover(reader: Reader, carried: str, location: Any) -> None:
    """Follow a lid: off the plate that it was on, onto the one that it is set on."""
    for plate in reader.plates.values():
        plate.lid = "" if plate.lid == carried else plate.lid
    below = reader.plates.get(str(location.get("labwareId"))) if isinstance(location, Mapping) else None
    if below is not None and carried not in reader.plates:
        below.lid = carried


def _carry(reader: Reader, number: int, params: Mapping[str, Any]) -> None:
    """Look who carries; where the labware stands does not matter, it is known by its id."""
    if (how := str(params.get("strategy", "usingGripper"))) == "manualMoveWithPause":
        plate = reader.plates.get(str(params.get("labwareId")))
        what = plate.name if plate else "labware"
        _wait(reader, number, f"the file waits for a person to carry {what} ({how})")


def _wait(reader: Reader, number: int, words: str) -> None:
    """Enter a step that somebody has to be there for, after the last draw that was followed."""
    where = f" (after draw {reader.account.n_draws})" if reader.account.n_draws else ""
    if reader.is_attended:
        reader.account.notes.append(f"command {number}{where}: {words}; somebody has to stand by")
        reader.used.clear()  # Whoever stands by may have set full racks.
        return
    words = f"{words}; nobody is there at night: take it out, or check it with --attended"
    reader.report(ProblemKind.ATTENDED, number, f"{where.strip()} {words}".strip())


def _motion(reader: Reader, number: int, kind: str, params: Mapping[str, Any]) -> None:
    """Follow a command of one pipette."""
    head = _go(reader, params)
    if head.at is not None and head.at[0].lid and kind in ("aspirate", "dispense", "moveToWell"):
        key = wells_under(head)[0]
        reader.report(ProblemKind.SEAL, number, f"{wells_named([key])} is under a lid; take it off first", key)
    match kind:
        case "pickUpTip":
            pick_up(reader, number, head)
        case "dropTip" | "dropTipInPlace":
            drop(reader, number, head, is_in_place=kind != "dropTip")
        case "airGapInPlace":
            head.held.append((nanolitres(params["volume"]), ()))
        case "aspirate" | "aspirateInPlace":
            _aspirate(reader, number, head, params)
        case "dispense" | "dispenseInPlace":
            _dispense(reader, number, head, nanolitres(params["volume"]))
        case "blowout" | "blowOutInPlace":
            _dispense(reader, number, head, sum(nl for nl, _ in head.held), is_measured=False)
        case _ if kind in _AWAY:
            _leave(reader)
        case _ if kind in _ASTRAY:
            head.at, head.is_astray = None, True
        case _ if kind != "moveToWell" and kind not in HARMLESS:
            reader.report(ProblemKind.STEP, number, f"the file does {kind}, which is not followed here")


def _load(reader: Reader, number: int, params: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Enter labware; two pieces of one name are told apart by their places, but for the lab's books they cannot be."""
    labware_id, plate = str(result["labwareId"]), _plate(params, result["definition"])
    others = {other.name for key, other in reader.plates.items() if key != labware_id}
    if plate.name in others:
        if plate.name in {name for name, _ in reader.known}:
            words = f"two pieces of labware are called {plate.name}, and the lab has one; give each its own label"
            reader.report(ProblemKind.PLATE, number, words, (plate.name, ""))
        plate.name = f"{plate.name} in {slot_of(params['location']) or labware_id}"
        while plate.name in others:
            plate.name += " again"
    reader.plates[labware_id] = plate
    if labware_id in reader.filled and not any(name == plate.name for name, _ in reader.known):
        wells = {(plate.name, padded(well)): reader.fill_nl for well in plate.max_nl}
        reader.account.volumes |= wells
        reader.given |= wells.keys()
        reader.liquids |= dict.fromkeys(wells, MEDIUM)
    placed = Placed(plate.name, plate.load_name, slot_of(params["location"]), number)
    reader.account.placed.append(placed)


def _plate(params: Mapping[str, Any], definition: Mapping[str, Any]) -> Plate:
    load_name = str(definition["parameters"]["loadName"])
    wells = {str(w): nanolitres(item.get("totalLiquidVolume", 0)) for w, item in definition["wells"].items()}
    return Plate(label_of(params, definition), load_name, definition["ordering"], wells)


def _leave(reader: Reader) -> None:
    """Take every pipette away from the wells: they hang on one gantry."""
    for head in reader.heads.values():
        head.at, head.is_astray = None, False


def _head(name: str, least_nl: Mapping[str, int]) -> Head:
    tool = next((item for item in PIPETTES.values() if item.engine_name == name), None)
    n = 96 if name.endswith("_96") else 8 if "multi" in name else 1
    return Head(tool, tool.min_nl if tool else least_nl.get(name, 0), name, n, WHOLE[n])


def _declare(reader: Reader, number: int, params: Mapping[str, Any]) -> None:
    plate = reader.plates[params["labwareId"]]
    for well, volume in params["volumeByWell"].items():
        key = plate.name, padded(well)
        if key in reader.known:
            continue
        if volume is None or (volume != "empty" and not float(volume) >= 0):
            words = f"{key[1]} of {key[0]} is declared to hold {volume!r} ul, which is no volume"
            reader.report(ProblemKind.VOLUME, number, words, key)
            continue
        if key in reader.moved:
            words = f"{key[1]} of {key[0]} is declared anew after liquid was moved there; declare it once, before"
            reader.report(ProblemKind.CONTENT, number, words, key)
            continue
        volume_nl = 0 if volume == "empty" else nanolitres(volume)
        reader.account.volumes[key] = volume_nl
        reader.given.add(key)
        if volume_nl:
            reader.stock.add(key)
            reader.liquids[key] = frozenset({Liquid(params.get("liquidId", key))})
        if volume_nl > plate.max_nl[well]:
            words = f"{key[1]} of {key[0]} is declared to hold {volume_nl} nl, its maximum is {plate.max_nl[well]}"
            reader.report(ProblemKind.OVERFILL, number, words, key)


def _go(reader: Reader, params: Mapping[str, Any]) -> Head:
    """Return the pipette of a command, at the well it names; in-place commands stay where they are."""
    head = reader.heads[params["pipetteId"]]
    if "labwareId" in params and "wellName" in params:
        for other in reader.heads.values():
            # They hang on one gantry: where the others are now, nobody says.
            other.at, other.is_astray = None, other is not head
        if params["labwareId"] != _TRASH:
            head.at = reader.plates[params["labwareId"]], str(params["wellName"])
        head.is_over = _height_mm(params) >= 0
    return head


def _aspirate(reader: Reader, number: int, head: Head, params: Mapping[str, Any]) -> None:
    volume_nl = nanolitres(params["volume"])
    is_air = _height_mm(params) > 0
    if head.is_astray:
        words = f"{volume_nl} nl are drawn, and nobody can tell from where: {head.name} was moved to no well"
        reader.report(ProblemKind.STEP, number, words)
    if is_air or head.at is None:
        head.held.append((volume_nl, ()))
        return
    keys = wells_under(head)
    if volume_nl <= 0:
        reader.report(ProblemKind.VOLUME, number, f"{volume_nl} nl from {wells_named(keys)} is not above 0", keys[0])
    elif volume_nl < head.least_nl:
        words = f"{volume_nl} nl from {wells_named(keys)} are under the {head.least_nl} nl minimum of {head.name}"
        reader.report(ProblemKind.VOLUME, number, words, keys[0])
    dead_nl = LABWARE[head.at[0].load_name].dead_volume_nl if head.at[0].load_name in LABWARE else 0
    for key in keys:
        before_nl = reader.account.volumes.get(key, 0)
        if key in head.given_to and before_nl - volume_nl < dead_nl:
            head.borrowed[key] = f"overdraw: {key[1]} of {key[0]} holds {before_nl} nl, {dead_nl} of them dead volume"
        _draw(reader, number, key, volume_nl, 0 if key in head.given_to else dead_nl)
    is_new = bool(head.drawn_from) and keys[0] not in head.drawn_from | head.given_to
    if enters_to_draw(reader, number, head, keys) and is_new:
        before = ", ".join(sorted(well_on(*key) for key in head.drawn_from)[:3])
        words = f"the tip that drew from {before} draws from {wells_named(keys)}: carry-over is possible"
        reader.account.notes.append(f"command {number}: {words}")
    head.drawn_from.update(keys)
    head.held.append((volume_nl, keys))
    reader.account.n_draws += 1


def _height_mm(params: Mapping[str, Any]) -> float:
    """Return how far over the rim of its well a command takes the tip; under 0: into it."""
    location = params.get("wellLocation", {})
    return float(location.get("offset", {}).get("z", -1)) if location.get("origin", "top") == "top" else -1.0


def _draw(reader: Reader, number: int, key: WellKey, volume_nl: int, dead_nl: int) -> None:
    books = reader.account
    reader.moved.add(key)
    before = books.volumes.get(key, 0)
    books.volumes[key] = before - volume_nl
    books.drawn[key] = books.drawn.get(key, 0) + volume_nl
    if before - volume_nl >= dead_nl or (ProblemKind.OVERDRAW, key) in reader.reported:
        return
    reader.reported.add((ProblemKind.OVERDRAW, key))
    words = f"overdraw: {key[1]} of {key[0]} holds {before} nl, {dead_nl} of them dead volume, and gives {volume_nl}"
    if key not in reader.given:
        words = f"{key[1]} of {key[0]} is drawn from ({volume_nl} nl), and nothing says that it was filled"
    reader.report(ProblemKind.OVERDRAW, number, words, key)


def _dispense(reader: Reader, number: int, head: Head, volume_nl: int, *, is_measured: bool = True) -> None:
    """Give what is at the end of the tip first: what was drawn last; a blow-out is not measured."""
    liquid_nl = 0
    left_nl = volume_nl
    is_only_air = bool(head.held) and head.at is not None and not head.drawn_from
    while left_nl > 0 and head.held:
        there_nl, wells = head.held.pop()
        part_nl = min(left_nl, there_nl)
        left_nl -= part_nl
        liquid_nl += part_nl if wells else 0
        if there_nl > part_nl:
            head.held.append((there_nl - part_nl, wells))
    if head.is_astray and liquid_nl:
        words = f"{liquid_nl} nl are given, and nobody can tell where to: {head.name} was moved to no well"
        reader.report(ProblemKind.STEP, number, words)
    if is_only_air:
        words = f"{volume_nl} nl of air go into {wells_named(wells_under(head))}: the tip has drawn nothing but air"
        reader.report(ProblemKind.VOLUME, number, words, wells_under(head)[0])
    if head.at is None:
        return
    keys = wells_under(head)
    if is_measured and volume_nl <= 0:
        reader.report(ProblemKind.VOLUME, number, f"{volume_nl} nl into {wells_named(keys)} is not above 0", keys[0])
    enters_to_give(reader, number, head, keys)
    if not liquid_nl:
        return
    mixed_in(reader, head, keys)
    if is_measured and volume_nl < head.least_nl:
        words = f"{volume_nl} nl into {wells_named(keys)} are under the {head.least_nl} nl minimum of {head.name}"
        reader.report(ProblemKind.VOLUME, number, words, keys[0])
    for key, words in head.borrowed.items():
        if key not in keys and (ProblemKind.OVERDRAW, key) not in reader.reported:
            reader.reported.add((ProblemKind.OVERDRAW, key))
            reader.report(ProblemKind.OVERDRAW, number, words, key)
    head.borrowed = {}
    reader.moved.update(keys)
    plate, books = head.at[0], reader.account
    for key, well in zip(wells_under(head), spelled_under(head), strict=True):
        books.volumes[key] = books.volumes.get(key, 0) + liquid_nl
        head.given_to.add(key)
        reader.given.add(key)
        is_new = (ProblemKind.OVERFILL, key) not in reader.reported
        if books.volumes[key] > plate.max_nl[well] and is_new:
            reader.reported.add((ProblemKind.OVERFILL, key))
            words = f"overfill: {key[1]} of {key[0]} would hold {books.volumes[key]} nl, its maximum is"
            reader.report(ProblemKind.OVERFILL, number, f"{words} {plate.max_nl[well]}", key)
