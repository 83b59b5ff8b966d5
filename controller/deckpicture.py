"""Pictures of decks: what stands in which slot, load by load, for the person who sets them."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from controller.files import full_disk_named, write_bytes
from controller.report.figures.style import FONT, GREEN, HAIRLINE, INK, MUTED, PAPER, SKY, YELLOW, bare_figure
from nextplate.errors import DataError
from protocols.deckmap import fixed_in, slot_places
from protocols.labware import ROBOTS, RobotDeck
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol

COLOURS: Mapping[DeckRole, str] = {
    DeckRole.SOURCE: SKY,
    DeckRole.DESTINATION: GREEN,
    DeckRole.TIPS: HAIRLINE,
    DeckRole.INTERMEDIATE: YELLOW,
}
"""Fill of each role; the role stands there in words too."""
_SLOT_W, _SLOT_H, _GAP = 1.75, 1.05, 0.12
_HEAD, _EDGE, _TOP = 0.42, 0.15, 0.4
_PER_ROW = 2
_NAME = 24
"""Longest barcode that fits into a slot; a longer one is cut in the middle."""
_KIND = 32
"""Longest load name that fits into one line of a slot; a longer one takes two."""
MAX_LOADS = 60
"""A picture of more decks is no help to anybody."""


def write_decks(protocol: Protocol, path: Path, robot: RobotDeck | None = None) -> None:
    """Draw the decks of a protocol into a file, whole or absent.

    Args:
        protocol: whose decks.
        path: ends in .svg or .png.
        robot: as it stands in the lab, with what is blocked; None: any of the protocol's kind.

    Raises:
        DataError: the name ends in neither .svg nor .png, the robot has no map, or there are too many loads.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("svg", "png"):
        raise DataError(f"{path}: a picture of decks is written as .svg or .png")
    with full_disk_named(path):
        write_bytes(path, draw_decks(protocol, kind, robot))


def draw_decks(protocol: Protocol, kind: str = "svg", robot: RobotDeck | None = None) -> bytes:
    """Draw every deck load of a protocol, as svg or png; ``robot`` as of write_decks.

    Raises:
        DataError: the lab has another robot, the robot has no map, or there are too many loads.
    """
    if not slot_places(protocol.robot):
        raise DataError(
            f"there is no map of the deck of robot {protocol.robot!r}; known are {', '.join(sorted(ROBOTS))}"
        )
    if len(protocol.loads) > MAX_LOADS:
        raise DataError(f"{len(protocol.loads)} deck loads are too many for one picture (at most {MAX_LOADS})")
    if robot is not None and robot.robot != protocol.robot:
        raise DataError(f"the protocol is for the {protocol.robot}, the lab has the {robot.robot}")
    figure = _figure(protocol, robot or ROBOTS[protocol.robot])
    out = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(out, format=kind, dpi=150, metadata=metadata)
    return out.getvalue()


def _figure(protocol: Protocol, deck: RobotDeck) -> Figure:
    places = slot_places(protocol.robot)
    n_rows = 1 + max(row for row, _ in places.values())
    n_columns = 1 + max(column for _, column in places.values())
    width, height = n_columns * (_SLOT_W + _GAP) + 2 * _EDGE, n_rows * (_SLOT_H + _GAP) + _HEAD + _EDGE
    across = min(_PER_ROW, max(1, len(protocol.loads)))
    down = -(-max(1, len(protocol.loads)) // _PER_ROW)
    whole = height * down + _TOP
    figure = bare_figure(width * across, whole)
    top = f"{_cut(protocol.name, 60)}, on the {deck.robot_type}, digest {protocol.digest[:16]}"
    at = _EDGE / (width * across), 1 - _TOP * 0.6 / whole
    figure.text(*at, top, color=INK, fontsize=FONT + 2, fontweight="bold", parse_math=False)
    for n, load in enumerate(protocol.loads):
        column, row = n % _PER_ROW, n // _PER_ROW
        bottom = (down - row - 1) * height / whole
        axes = figure.add_axes((column / across, bottom, 1 / across, height / whole))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.axis("off")
        title = f"load {load.index + 1} of {len(protocol.loads)}: {len(load.transfers)} transfers"
        axes.text(_EDGE, _HEAD * 0.6, title, color=INK, fontsize=FONT + 1, fontweight="bold", parse_math=False)
        _draw_load(axes, load, deck, places)
    return figure


def _draw_load(axes: Any, load: DeckLoad, deck: RobotDeck, places: Mapping[str, tuple[int, int]]) -> None:
    standing = {item.slot: item for item in load.deck}
    for slot, (row, column) in places.items():
        x, y = _EDGE + column * (_SLOT_W + _GAP), _HEAD + row * (_SLOT_H + _GAP)
        item = standing.get(slot)
        fill = COLOURS[item.role] if item else PAPER
        axes.add_patch(Rectangle((x, y), _SLOT_W, _SLOT_H, facecolor=fill, edgecolor=MUTED, linewidth=0.8, alpha=0.55))
        axes.text(x + 0.06, y + 0.2, slot, color=INK, fontsize=FONT, fontweight="bold")
        for n, (words, colour, size) in enumerate(_words(item, load, fixed_in(slot, deck))):
            axes.text(x + 0.06, y + 0.4 + 0.17 * n, words, color=colour, fontsize=size, parse_math=False)


def _words(item: DeckItem | None, load: DeckLoad, fixed: str) -> list[tuple[str, str, float]]:
    if item is None:
        return [(fixed, MUTED, FONT - 1)]
    return [
        (_cut(item.barcode, _NAME), INK, FONT),
        *((line, INK, FONT - 2.5) for line in _lines(item.labware)),
        (f"{item.role.value}{_count(item, load)}", INK, FONT - 1.5),
    ]


def _count(item: DeckItem, load: DeckLoad) -> str:
    if item.role is DeckRole.TIPS:
        used = {t.tip_well for t in load.transfers if t.tip_rack == item.barcode}
        return f", {len(used)} used"
    n_in = sum(t.destination_plate == item.barcode for t in load.transfers)
    n_out = sum(t.source_plate == item.barcode for t in load.transfers)
    return "".join(f", {n} {word}" for n, word in ((n_in, "in"), (n_out, "out")) if n)


def _lines(load_name: str) -> list[str]:
    """Write a load name whole, on two lines where it is long: kinds of tips differ in the middle of theirs."""
    if len(load_name) <= _KIND:
        return [_cut(load_name, _KIND)]
    breaks = [n + 1 for n, sign in enumerate(load_name[:_KIND]) if sign == "_"] or [_KIND]
    return [_cut(load_name[: breaks[-1]], _KIND), _cut(load_name[breaks[-1] :], _KIND)]


def _cut(text: str, longest: int) -> str:
    plain = ascii(text)[1:-1]
    half = (longest - 2) // 2
    return plain if len(plain) <= longest else f"{plain[:half]}..{plain[-half:]}"
