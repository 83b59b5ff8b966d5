"""What is wrong with a transfer by an acoustic dispenser: droplets, tips, and the window of the source well."""

from collections.abc import Iterator

from protocols.labware import Labware, Pipette
from protocols.problems import ProblemKind
from protocols.sentences import well_on
from protocols.steps import Transfer
from protocols.volumes import Tally, WellKey, is_volume

Found = tuple[ProblemKind, str, WellKey]


def acoustic_problems(t: Transfer, tool: Pipette, kind: Labware | None, tally: Tally) -> Iterator[Found]:
    """Return what is wrong, before the transfer is entered into the tally.

    Args:
        t: the transfer.
        tool: that makes it.
        kind: of the source plate; None: not known, which is told elsewhere.
        tally: volumes before it.
    """
    source, target = (t.source_plate, t.source_well), (t.destination_plate, t.destination_well)
    if t.tip_rack or t.tip_well:
        yield ProblemKind.TIP, f"tip {t.tip_well} of {t.tip_rack} is named, and {tool.load_name} has no tips", target
    if t.stroke:
        yield ProblemKind.STROKE, f"{tool.load_name} has no channels for a stroke", target
    if is_volume(t.volume_nl) and (words := droplet_words(t.volume_nl, tool)):
        yield ProblemKind.VOLUME, f"{words}, into {well_on(*target)}", target
    if kind is None:
        return
    if not kind.acoustic_max_nl:
        words = f"{well_on(*source)} is no source for {tool.load_name}: sound does not go through {kind.load_name}"
        yield ProblemKind.PLATE, words, source
    elif tally.most.get(source, 0) > kind.acoustic_max_nl:
        yield ProblemKind.VOLUME, (
            f"{well_on(*source)} may hold {tally.most[source]} nl; {tool.load_name} draws from wells of "
            f"{kind.load_name} that hold at most {kind.acoustic_max_nl} nl"
        ), source  # fmt: skip


def droplet_words(volume_nl: int, tool: Pipette) -> str:
    """Say why a volume cannot be shot, '' when it can."""
    if volume_nl * 1_000 % tool.droplet_pl == 0:
        return ""
    return f"{volume_nl} nl is not a whole number of droplets of {tool.droplet_pl / 1_000:g} nl"
