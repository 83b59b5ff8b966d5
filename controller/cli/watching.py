"""image watch: which plates under a folder are whole, which are being written, and why not."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.common import JsonOption, finite, say

if TYPE_CHECKING:
    from nextplate.imaging.watch import Due, Stand

_LOOK_S = 5.0


def watch(
    folder: Annotated[Path, typer.Argument(help="The folder that plates are written to.")],
    once: Annotated[bool, typer.Option("--once", help="Look once and end; otherwise tell every change.")] = False,
    settle_s: Annotated[
        float, typer.Option(min=0, callback=finite, help="A whole plate is done when unchanged for so long.")
    ] = 60.0,
    depth: Annotated[int, typer.Option(min=1, max=4, help="Levels of folders in which plates lie.")] = 1,
    wells: Annotated[int | None, typer.Option(help="96, 384 or 1536, where a format does not say its wells.")] = None,
    reader: Annotated[str | None, typer.Option(help="Name of the reader; found out otherwise.")] = None,
    pattern: Annotated[str | None, typer.Option(help="Regular expression for names no reader knows.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell which plates under a folder are whole, which are being written, and why not.

    With --once the age of a plate's newest file says whether it rests; otherwise two looks do.

    Example: nextplate image watch /mnt/microscope --once --json
    """
    due = _due(wells)
    looks = _looks(folder, due, depth, reader, pattern)
    if once:
        rows = [_row(s, time.time() - s.inventory.newest_ns / 1e9, settle_s) for s in next(looks)]
        say(_body(folder, rows), _text(folder, rows), as_json)
        return
    told: dict[str, Any] = {}
    for row in _changes(looks, settle_s):
        if told.get(row["folder"]) != (said := (row["state"], row["reasons"])):
            told[row["folder"]] = said
            say(row, _line(row), as_json)


def _due(wells: int | None) -> "Due":
    from nextplate.errors import DataError
    from nextplate.imaging.watch import Due
    from nextplate.plate import FORMATS

    if wells is not None and wells not in FORMATS:
        raise DataError(f"--wells {wells}: should be {', '.join(map(str, FORMATS))}")
    return Due(None if wells is None else frozenset(FORMATS[wells].wells()))


def _looks(
    folder: Path, due: "Due", depth: int, reader: str | None, pattern: str | None
) -> "Iterator[Sequence[Stand]]":
    from nextplate.imaging.watch import scan_plates

    while True:
        yield scan_plates(folder, due, depth=depth, reader=reader, pattern=pattern)
        time.sleep(_LOOK_S)


@dataclass(frozen=True, slots=True)
class _Seen:
    digest: str
    since_s: float


def _changes(looks: "Iterator[Sequence[Stand]]", settle_s: float) -> Iterator[dict[str, Any]]:
    """Yield a row for every plate of every look; how long it rests is what was seen, as clocks of shares differ."""
    seen: Mapping[str, _Seen] = {}
    for stands in looks:
        now = time.monotonic()
        seen = {str(s.folder): _kept(seen.get(str(s.folder)), s, now) for s in stands}
        for stand in stands:
            yield _row(stand, now - seen[str(stand.folder)].since_s, settle_s)


def _kept(before: _Seen | None, stand: "Stand", now: float) -> _Seen:
    digest = stand.inventory.digest
    return before if before is not None and before.digest == digest else _Seen(digest, now)


def _row(stand: "Stand", rested_s: float, settle_s: float) -> dict[str, Any]:
    """Describe a plate; one that is whole and does not rest yet is 'settling'."""
    is_moving = stand.state == "whole" and rested_s < settle_s
    return {
        "folder": str(stand.folder),
        "state": "settling" if is_moving else stand.state,
        "plate": stand.plate,
        "reader": stand.reader,
        "images": stand.n_images,
        "files": stand.inventory.n_files,
        "bytes": stand.inventory.n_bytes,
        "reasons": [*stand.reasons, *stand.doubts, *([f"unchanged for less than {settle_s:g} s"] if is_moving else [])],
    }


def _body(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    whole = sum(row["state"] == "whole" for row in rows)
    return {"folder": str(folder), "plates": list(rows), "whole": whole, "others": len(rows) - whole}


def _text(folder: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(map(_line, rows)) or f"{folder} holds no folder"


def _line(row: Mapping[str, Any]) -> str:
    from nextplate.imaging.shown import shown

    named = f" {row['plate']} ({row['reader']}, {row['images']} images)" if row["reader"] else ""
    why = f": {'; '.join(reason[:300] for reason in row['reasons'])}" if row["reasons"] else ""
    return shown(f"{row['state']:<10} {Path(row['folder']).name}{named}{why}")
