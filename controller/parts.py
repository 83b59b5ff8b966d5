"""Finished wells on disk, so that an interrupted measurement goes on where it was.

``parts/<well>.json`` holds a well's numbers and the digest of its cells in ``cells/<well>.parquet``; it is written
last. A well counts as finished when its key (images by name, size and time; what was asked for; the code) is that of
now, its cells are there unchanged, and no image of it was unreadable: a drive may be back by now.
"""

import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from controller.files import write_bytes, write_text
from controller.steps.data import finite
from nextplate.imaging import WellMeasure, WellPlan
from nextplate.imaging.channel_look import ChannelLook
from nextplate.imaging.debris import Debris
from nextplate.readout import FieldImage, Missing


def well_key(plan: WellPlan, base: str) -> str:
    """Digest what decides a well's numbers; `base` stands for all that is common to the plate."""
    images = [stamp(image) for field in plan.fields for _, image in sorted(field.images.items())]
    missing = [asdict(m) for m in plan.missing]
    return digest({"base": base, "images": images, "missing": missing})


def stamp(image: FieldImage) -> list[Any]:
    """Identify an image without reading it: which it is, its files, their sizes and times."""
    planes = image.stack or ((image.path, image.page),)
    return [image.well, image.field, image.channel, *([str(p), page, *_size_and_time(p)] for p, page in planes)]


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return -1, -1  # told by the reader, as unreadable
    return found.st_size, found.st_mtime_ns


def digest(body: Any) -> str:
    """Digest JSON values."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def write_part(out: Path, key: str, well: WellMeasure, cells: pl.DataFrame) -> None:
    """Write a finished well: its cells, then its numbers.

    Raises:
        DiskFull: no room; nothing half-written stays.
    """
    buffer = io.BytesIO()
    cells.write_parquet(buffer)
    content = buffer.getvalue()
    write_bytes(_cells(out, well.well), content)
    body = {
        "key": key,
        "well": well.well,
        "cells": hashlib.sha256(content).hexdigest(),
        "numbers": dict(well.numbers),
        "codes": sorted(well.codes),
        "problems": [asdict(m) for m in well.problems],
        "debris": None if well.debris is None else asdict(well.debris),
        "looks": {channel: finite(asdict(look)) for channel, look in well.looks.items()},
    }
    # Not sorted: the order of the numbers is that of the table's columns.
    write_text(out / "parts" / f"{well.well}.json", json.dumps(body))


def finished(out: Path, keys: Mapping[str, str]) -> dict[str, WellMeasure]:
    """Return the wells that need not be measured again; `keys` are those of now, by well."""
    found = {well: _read_part(out, well, key) for well, key in keys.items()}
    return {well: part for well, part in found.items() if part is not None}


def _read_part(out: Path, well: str, key: str) -> WellMeasure | None:
    try:
        body = json.loads((out / "parts" / f"{well}.json").read_bytes())
        if body["key"] != key or "unreadable" in body["codes"]:
            return None
        if hashlib.sha256(_cells(out, well).read_bytes()).hexdigest() != body["cells"]:
            return None
        problems = tuple(Missing(**m) for m in body["problems"])
        debris = None if body["debris"] is None else Debris(**body["debris"])
        looks = {channel: _look(values) for channel, values in body["looks"].items()}
        return WellMeasure(well, body["numbers"], frozenset(body["codes"]), problems, debris, looks)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # cut short by a crash: the well is measured again


def _look(values: Mapping[str, float | None]) -> ChannelLook:
    return ChannelLook(**{name: math.nan if value is None else value for name, value in values.items()})


def _cells(out: Path, well: str) -> Path:
    return out / "cells" / f"{well}.parquet"
