"""One plate in text: its layout and responses as a map, its flags as a list."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.state import fold
from nextplate.errors import DataError
from nextplate.plate import FORMATS, parse_well, row_letters

if TYPE_CHECKING:
    from controller.shownplate import ShownPlate
    from controller.store.store import Store

_MARKS = {"negative": "-", "positive": "+", "empty": ".", "sample": "o"}


def barcode_view(lab: Path, barcode: str, is_drawn: bool) -> tuple[dict[str, Any], "ShownPlate | None"]:
    """Gather a lab's plate; with `is_drawn` also what pictures need.

    Raises:
        DataError: no such plate, or no pictures of it.
    """
    from controller.lab import open_lab
    from controller.store import open_store

    with open_store(open_lab(lab).database) as store:
        body = plate_body(store, barcode)
    if not is_drawn:
        return body, None
    from controller.shownplate import lab_plate

    return body, lab_plate(lab, barcode)


def folder_view(
    folder: Path, layout: Path | None, images: Path | None, pattern: str | None
) -> tuple[dict[str, Any], "ShownPlate | None"]:
    """Gather a measured folder.

    Raises:
        DataError: as controller.shownplate.measured_plate.
    """
    from controller.shownplate import measured_plate

    shown = measured_plate(folder, layout, images, pattern)
    columns = ("well", "role", "compound_id", "dose", "dose_unit", *_MEASURED, "n_cells")
    rows = shown.table.select(c for c in columns if c in shown.table.columns).fill_nan(None).to_dicts()
    wells = [dict.fromkeys(columns) | row | {"role": row["role"] or _unsaid(row)} for row in rows]
    return {"plate": shown.plate, "head": shown.head, "noise": shown.noise, "wells": wells}, shown


def _unsaid(row: Mapping[str, Any]) -> str:
    """A well that no layout names: imaged or not."""
    return "empty" if row.get("n_cells") is None else "sample"


_MEASURED = ("activity", "viability", "flags", "is_used", "is_hit", "is_toxic")


def plate_body(store: "Store", barcode: str) -> dict[str, Any]:
    """Gather a plate's wells with their responses.

    Raises:
        DataError: no plate of that barcode; names the ones there are.
    """
    plates = store.select("plates", {"barcode": barcode})
    if not plates:
        known = ", ".join(p["barcode"] for p in store.select("plates")) or "none yet"
        raise DataError(f"no plate {barcode!r} in this lab (plates: {known})")
    responses = {r["well"]: r for r in store.select("responses", {"plate": barcode})}
    wells = [_well(w, responses.get(w["well"])) for w in store.select("wells", {"plate": barcode})]
    plate = plates[0]
    head = {"barcode": barcode, "campaign": plate["campaign"], "round": plate["round"] + 1}
    return {**head, "noise": _noise(store, barcode), "wells": wells}


def _noise(store: "Store", barcode: str) -> float | None:
    """Return the standard deviation of the plate's negatives on the activity scale, as last judged."""
    summaries = (o.result.get("summary", {}) for o in fold(store.events()).outcomes.values())
    found = [s["noise_negative"] for s in summaries if s.get("plate") == barcode and "noise_negative" in s]
    return found[-1] if found else None


def _well(well: Mapping[str, Any], response: Mapping[str, Any] | None) -> dict[str, Any]:
    columns = ("well", "role", "compound_id", "replicate", "dose_um", "reason")
    return {c: well[c] for c in columns} | {m: response[m] if response else None for m in _MEASURED}


def plate_text(body: Mapping[str, Any]) -> str:
    """Draw a plate: activity in tenths where measured (0-9, * a hit), else the role; then hits and flags."""
    wells = {parse_well(w["well"]): w for w in body["wells"]}
    shape = FORMATS[len(body["wells"])]
    head = body.get("head") or f"plate {body['barcode']}, campaign {body['campaign']}, round {body['round']}"
    columns = "   " + "".join(f"{c + 1:>3}" for c in range(shape.n_columns))
    rows = [
        f"{row_letters(r):>3}" + "".join(f"{_mark(wells[r, c]):>3}" for c in range(shape.n_columns))
        for r in range(shape.n_rows)
    ]
    legend = "- negative  + positive  * hit  x toxic  ! flagged  0..9 activity in tenths  . empty"
    noise = body["noise"]
    error = "no error is known" if noise is None else f"+- {noise:.2f}, one sd of the plate's negatives"
    return "\n".join([head, columns, *rows, legend, f"error of an activity: {error}", *_lists(body["wells"])])


def _mark(well: Mapping[str, Any]) -> str:
    if well["flags"]:
        return "!"
    if well["role"] != "sample" or well["activity"] is None:
        return _MARKS[well["role"]]
    if well["is_hit"] or well["is_toxic"]:
        return "*" if well["is_hit"] else "x"
    return str(min(9, max(0, int(well["activity"] * 10))))


def _lists(wells: list[Mapping[str, Any]]) -> list[str]:
    hits = sorted((w for w in wells if w["is_hit"]), key=lambda w: -w["activity"])
    lines = [f"hit {w['well']} {_held(w)}: activity {w['activity']:.2f}, viability {_alive(w)}" for w in hits]
    return lines + [f"flag {w['well']} ({w['role']}): {w['flags']}" for w in wells if w["flags"]]


def _held(well: Mapping[str, Any]) -> str:
    dose = f" {well['dose']:g} {well['dose_unit'] or ''}".rstrip() if well.get("dose") is not None else ""
    return f"{well['compound_id'] or 'no compound named'}{dose}"


def _alive(well: Mapping[str, Any]) -> str:
    return "unknown" if well["viability"] is None else f"{well['viability']:.2f}"
