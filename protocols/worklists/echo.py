"""Echo pick list: the CSV that Labcyte's and Beckman's acoustic dispensers import.

Header names and nanolitres are from third-party documentation (shared/facts/robots.md section 5); the usable windows
and plate types are ours, unverified, and therefore configuration. Volumes are whole droplets of 2.5 or 25 nl; as a
volume is whole nanolitres here, with 2.5 nl droplets it is a multiple of 5 nl.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nextplate.errors import DataError, PlanError
from nextplate.plate import parse_well, well_name
from protocols.labware import LABWARE, vendor_well
from protocols.model import DeckItem, Protocol, Transfer
from protocols.sentences import well_on
from protocols.strokes import is_trough
from protocols.volumes import WellKey
from protocols.worklists.names import Names
from protocols.worklists.picks import Listed, Pick, Written, listed, restored, whole_nl
from protocols.worklists.tables import rows_of, written

DROPLETS_PL = (2_500, 25_000)
"""Of the models 550, 555, 650 and of the 525."""
HEADER = (
    "Source Plate Name", "Source Plate Barcode", "Source Plate Type", "Source Well", "Sample Name",
    "Destination Plate Name", "Destination Plate Barcode", "Destination Plate Type", "Destination Well",
    "Transfer Volume",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EchoPlates:
    """What the dispenser is told of plates, and what it can do."""

    droplet_pl: int = 2_500
    """Picolitres: 2,500 or 25,000."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Plate type of the dispenser's software by load name; one not listed is written as its load name."""
    windows_nl: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Least and most that a source well may hold to be drawn from, by load name; not listed: as the labware says."""

    def __post_init__(self) -> None:
        if self.droplet_pl not in DROPLETS_PL:
            raise DataError(f"droplet of {self.droplet_pl!r} pl; the dispensers make 2500 or 25000")
        for name, (low_nl, high_nl) in self.windows_nl.items():
            if not 0 <= low_nl < high_nl:
                raise DataError(f"usable window of {name}: {low_nl} to {high_nl} nl is none")

    def window_nl(self, load_name: str) -> tuple[int, int]:
        """Return the least and the most that a source well may hold."""
        kind = LABWARE[load_name]
        return self.windows_nl.get(load_name, (kind.dead_volume_nl, kind.acoustic_max_nl or kind.max_volume_nl))

    def source_words(self, item: DeckItem) -> str:
        """Say why a plate cannot be shot from, '' when it may: it is a trough, and nobody gave it a window."""
        if not is_trough(item.labware) or item.labware in self.windows_nl:
            return ""
        return (
            f"source {item.barcode} is a {item.labware}, which is no source for sound; compile for robot 'echo' from "
            "plates that are, or give its usable window in the mapping"
        )

    def words(self, volume_nl: int) -> str:
        """Say why a volume cannot be shot, '' when it can."""
        if volume_nl * 1000 % self.droplet_pl == 0:
            return ""
        return f"{volume_nl} nl is not a whole number of droplets of {self.droplet_pl / 1000:g} nl"


def write_echo(
    protocol: Protocol,
    load_index: int,
    plates: EchoPlates | None = None,
    holds_nl: Mapping[WellKey, int] | None = None,
) -> Written:
    """Write a load as a pick list.

    Args:
        protocol: the load is of.
        load_index: of the load.
        plates: droplet, plate types and windows; None: 2.5 nl droplets and what the labware says.
        holds_nl: what source wells hold before the load; None: nobody knows, and a well may give as much as the window
            that ``plates`` names for it is wide.

    Raises:
        PlanError: names the wells whose volumes are no whole droplets or whose sources are outside their window.
    """
    plates = plates or EchoPlates()
    it = listed(protocol, load_index)
    left_nl = dict(_fullest(it, plates) if holds_nl is None else holds_nl)
    problems = [plates.source_words(i) for i in dict.fromkeys(it.deck[t.source_plate] for t in it.load.transfers)]
    problems = [words for words in problems if words]
    for t in it.load.transfers:
        is_looked_at = holds_nl is not None or (t.source_plate, t.source_well) in left_nl
        words = plates.words(t.volume_nl) or (_outside(t, it, plates, left_nl) if is_looked_at else "")
        if words:
            where = well_on(t.destination_plate, t.destination_well)
            problems.append(f"transfer {t.transfer_id} into {where}: {words}")
    if problems:
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise PlanError("an Echo cannot do this:\n  " + "\n  ".join(problems[:10]) + more)
    return Written(written([HEADER, *(_row(t, it, plates) for t in it.load.transfers)]), it.names)


def _fullest(it: Listed, plates: EchoPlates) -> dict[WellKey, int]:
    """Return the most that each source well may hold before the load, where the lab has said it."""
    sources = {(t.source_plate, t.source_well): it.deck[t.source_plate].labware for t in it.load.transfers}
    return {key: plates.windows_nl[kind][1] for key, kind in sources.items() if kind in plates.windows_nl}


def _outside(t: Transfer, it: Listed, plates: EchoPlates, left_nl: dict[WellKey, int]) -> str:
    key = t.source_plate, t.source_well
    low_nl, high_nl = plates.window_nl(it.deck[t.source_plate].labware)
    before_nl = left_nl.get(key, 0)
    left_nl[key] = before_nl - t.volume_nl
    if before_nl <= high_nl and left_nl[key] >= low_nl:
        return ""
    return (
        f"{well_on(*key)} holds {before_nl} nl; {t.volume_nl} nl can be drawn where it holds at most {high_nl} nl "
        f"before and {low_nl} nl or more stay"
    )


def _row(t: Transfer, it: Listed, plates: EchoPlates) -> list[str]:
    source, target = it.names.label(t.source_plate), it.names.label(t.destination_plate)
    types = [
        plates.types.get(name, name) for name in (it.kind(b).load_name for b in (t.source_plate, t.destination_plate))
    ]
    return [
        source, source, types[0], vendor_well(t.source_well), it.names.label(t.compound_id),
        target, target, types[1], vendor_well(t.destination_well), str(t.volume_nl),
    ]  # fmt: skip


def read_echo(text: str, names: Names | None = None) -> tuple[Pick, ...]:
    """Read the pick list that `write_echo` wrote.

    Args:
        text: of the list.
        names: from its side table; None: every label is a name.

    Raises:
        DataError: another header, a row of another length, a well or volume that is none; names the line.
    """
    rows = rows_of(text)
    if not rows or tuple(rows[0]) != HEADER or not text.endswith("\r\n"):
        raise DataError("line 1: not the header of a pick list of nextplate, or the file was cut")
    picks, known = [], (names or Names({})).by_label()
    for number, row in enumerate(rows[1:], 2):
        try:
            if len(row) != len(HEADER):
                raise DataError(f"{len(row)} cells, not {len(HEADER)}")
            wells = [well_name(*parse_well(row[n])) for n in (3, 8)]
            pick = Pick(row[1], wells[0], row[6], wells[1], whole_nl(row[9], per_unit=1), row[4])
        except DataError as error:
            raise DataError(f"line {number}: {error}") from error
        picks.append(restored(pick, known))
    return tuple(picks)
