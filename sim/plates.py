"""Plates and places: what stands where, and which moves are possible."""

import re

from sim.labware import is_tip_rack
from sim.world import World

FLOOR = "floor"
_SLOT = re.compile(r"^deck/(?:[A-D][1-4]|1[0-2]|[1-9]|source|destination)$")
_STACKS = ("stack/new", "stack/done", "waste")
"""Places of many plates."""
_STATIONS = ("incubator", "imager", "shaker", "reader", "washer", "dispenser")
_OWNER = {"deck": "handler", **{name: name for name in _STATIONS}, "reader": "barcode_reader"}


def place_of(world: World, barcode: str) -> str | None:
    """Return where a plate stands, None when no such plate exists."""
    row = world.row("SELECT place FROM plates WHERE barcode = ?", (barcode,))
    return None if row is None else str(row["place"])


def plate_at(world: World, place: str) -> str | None:
    """Return the barcode standing at a place that holds one plate."""
    row = world.row("SELECT barcode FROM plates WHERE place = ? ORDER BY barcode", (place,))
    return None if row is None else str(row["barcode"])


def add_plate(world: World, barcode: str, kind: str, labware: str, place: str, prefill_nl: int = 0) -> None:
    """Put a new plate into the world; one that is there already stays as it is."""
    sql = "INSERT OR IGNORE INTO plates(barcode, kind, labware, place, prefill_nl) VALUES (?, ?, ?, ?, ?)"
    world.run(sql, (barcode, kind, labware, place, prefill_nl))


def set_place(world: World, barcode: str, place: str) -> None:
    """Put a plate somewhere."""
    world.run("UPDATE plates SET place = ? WHERE barcode = ?", (place, barcode))


def label_blank(world: World, barcode: str) -> None:
    """Take an unlabelled assay plate from the stack and print a barcode on it, if there is one to take."""
    n_blank = int(world.meta("blank_plates") or 0)
    if n_blank and place_of(world, barcode) is None:
        settings = world.settings
        world.set_meta("blank_plates", n_blank - 1)
        add_plate(world, barcode, "assay", settings.assay_labware, "stack/new", settings.medium_nl)


def why_not(world: World, barcode: str, source: str, target: str) -> str:
    """Say why a move is impossible, '' when it can be done."""
    found = place_of(world, barcode)
    if found is None:
        return f"no plate {barcode} exists in the lab" + (
            "; the stack of new plates is empty, refill it" if source == "stack/new" else ""
        )
    if found != source:
        return f"plate {barcode} is at {found}, not at {source}"
    return _bad_target(world, barcode, target) or _locked(world, source) or _locked(world, target)


def _bad_target(world: World, barcode: str, target: str) -> str:
    if target in ("stack/done", "waste"):
        return ""
    is_home = target in (f"hotel/{barcode}", f"tips/{barcode}")
    if not (is_home or target in _STATIONS or _SLOT.match(target)):
        return f"plate {barcode} cannot be put at {target}: no such place for it"
    standing = plate_at(world, target)
    return f"{target} is occupied by plate {standing}; {barcode} cannot be put there" if standing else ""


def _locked(world: World, place: str) -> str:
    device = _OWNER.get(place.split("/")[0])
    if device is None:
        return ""
    sql = "SELECT key FROM commands WHERE device = ? AND status = 'running' LIMIT 1"
    busy = world.row(sql, (device,))
    return f"the {device} is working, {place} is locked" if busy else ""


def home_of(barcode: str, labware: str) -> str:
    """Return the home of a source plate or a tip rack."""
    return f"tips/{barcode}" if is_tip_rack(labware) else f"hotel/{barcode}"


def holds_many(place: str) -> bool:
    """Tell whether more than one plate may stand at a place."""
    return place in _STACKS


def is_place(place: str, barcode: str) -> bool:
    """Tell whether a plate may ever stand at a place."""
    homes = (f"hotel/{barcode}", f"tips/{barcode}")
    return place in (*homes, *_STACKS, *_STATIONS) or bool(_SLOT.match(place))


def warm_ms(world: World, barcode: str, now_ms: int) -> int:
    """Return how long a plate has been in the incubator so far."""
    row = world.row("SELECT warm_ms, warm_since_ms FROM plates WHERE barcode = ?", (barcode,))
    if row is None:
        return 0
    since = row["warm_since_ms"]
    return int(row["warm_ms"]) + (now_ms - int(since) if since is not None else 0)
