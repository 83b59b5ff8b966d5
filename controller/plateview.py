"""One plate in text: its layout and responses as a map, its flags as a list."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from controller.state import fold
from nextplate.errors import DataError
from nextplate.plate import FORMATS, parse_well, row_letters

if TYPE_CHECKING:
    from controller.store.store import Store

_MARKS = {"negative": "-", "positive": "+", "empty": ".", "sample": "o"}


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
    measured = ("activity", "viability", "flags", "is_used", "is_hit", "is_toxic")
    return {c: well[c] for c in columns} | {m: response[m] if response else None for m in measured}


def plate_text(body: Mapping[str, Any]) -> str:
    """Draw a plate: activity in tenths where measured (0-9, * a hit), else the role; then hits and flags."""
    wells = {parse_well(w["well"]): w for w in body["wells"]}
    shape = FORMATS[len(body["wells"])]
    head = f"plate {body['barcode']}, campaign {body['campaign']}, round {body['round']}"
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
    lines = [
        f"hit {w['well']} {w['compound_id']}: activity {w['activity']:.2f}, viability {w['viability']:.2f}"
        for w in hits
    ]
    return lines + [f"flag {w['well']} ({w['role']}): {w['flags']}" for w in wells if w["flags"]]
