"""Protocols for the tests of work lists: names of every kind, wells anywhere, tips where the format needs them."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import strategies as st

from protocols.labware import LABWARE
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer

SOURCE, TARGET, TINY = (
    "corning_384_wellplate_112ul_flat",
    "corning_96_wellplate_360ul_flat",
    "greiner_1536_wellplate_10ul",
)
TIPS = "opentrons_flex_96_tiprack_50ul"
NASTY = (
    '"); os.system(', "=1+1", "+cmd", "-2", "@SUM(A1)", "a;b", 'quo"te', "line\r\nbreak", "µ-Ω", "\xa0", "N" * 500,
    "\ud800", "", " ", "p1", "P1", "N0001-x", "'''", "{0}{x}", "a,b", "tab\there", "%41", "name x=y",
)  # fmt: skip
names = st.one_of(st.sampled_from(NASTY), st.text(max_size=40), st.from_regex(r"[A-Z]{2}-[0-9]{3}", fullmatch=True))


def protocol_of(moved: list[Transfer], deck: tuple[DeckItem, ...], robot: str = "flex") -> Protocol:
    return Protocol("list", robot, "flex_1channel_50", "left", (DeckLoad(0, deck, tuple(moved)),))


@st.composite
def protocols(draw: st.DrawFn, step_nl: int = 10) -> Protocol:
    """One load from one to three source plates into one to three others; volumes are multiples of step_nl."""
    barcodes = ["TIPS-1", *draw(st.lists(names, min_size=2, max_size=6, unique=True))]
    kinds = [draw(st.sampled_from((SOURCE, TARGET, TINY))) for _ in barcodes[1:]]
    roles = [DeckRole.SOURCE, *(draw(st.sampled_from((DeckRole.SOURCE, DeckRole.DESTINATION))) for _ in barcodes[2:])]
    deck = [DeckItem("D1", barcodes[0], TIPS, DeckRole.TIPS)]
    deck += [DeckItem(f"S{n}", b, k, r) for n, (b, k, r) in enumerate(zip(barcodes[1:], kinds, roles, strict=True))]
    moved = []
    for n in range(draw(st.integers(1, 12))):
        source, target = draw(st.sampled_from(deck[1:])), draw(st.sampled_from(deck[1:]))
        wells = [draw(st.sampled_from(LABWARE[i.labware].wells_by_column())) for i in (source, target)]
        tip = LABWARE[TIPS].wells_by_column()[n if draw(st.booleans()) else max(0, n - 1)]
        volume_nl = step_nl * draw(st.integers(1, 5_000))
        moved.append(
            Transfer(
                n + 1, source.barcode, wells[0], target.barcode, wells[1], volume_nl, barcodes[0], tip, draw(names)
            )
        )
    return protocol_of(moved, tuple(deck))


def for_sound(protocol: Protocol) -> Protocol:
    """Return a protocol as if it had been compiled for an acoustic dispenser, but for the tips it names."""
    loads = (replace(load, deck=tuple(_in_echo(load.deck))) for load in protocol.loads)
    return replace(protocol, robot="echo", pipette="echo_550", loads=tuple(loads))


def _in_echo(deck: tuple[DeckItem, ...]) -> Iterator[DeckItem]:
    return (replace(item, slot=item.role.value) for item in deck if item.role is not DeckRole.TIPS)


def small_protocol(n: int = 12, volume_nl: int = 5_000) -> Protocol:
    """Wells A01.. of SRC-001 into A01.. of P1; a fresh tip each."""
    deck = (
        DeckItem("B1", "SRC-001", SOURCE, DeckRole.SOURCE),
        DeckItem("A2", "P1", TARGET, DeckRole.DESTINATION),
        DeckItem("C1", "TIPS-001", TIPS, DeckRole.TIPS),
    )
    wells, tips = list(LABWARE[TARGET].wells_format.wells()), LABWARE[TIPS].wells_by_column()
    moved = [
        Transfer(i + 1, "SRC-001", f"A{i + 1:02d}", "P1", wells[i], volume_nl, "TIPS-001", tips[i], f"C{i:03d}")
        for i in range(n)
    ]
    return protocol_of(moved, deck)
