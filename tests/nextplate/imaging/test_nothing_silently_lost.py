"""The promise of every reader: what is due is either an image or is told as missing, never neither."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.selection import Selection, ZChoice, to_readout
from nextplate.readout import Missing, Readout

WELLS, FIELDS, CHANNELS = ("A01", "B02", "AF48"), (1, 2), ("DNA", "GFP")
PLACES = st.tuples(
    st.sampled_from(WELLS),
    st.sampled_from(FIELDS),
    st.sampled_from(CHANNELS),
    st.sampled_from([None, 0, 1, 2]),
    st.sampled_from([None, 1]),
)
REFUSED = st.tuples(
    st.sampled_from(WELLS), st.sampled_from([None, *FIELDS]), st.sampled_from([None, *CHANNELS]), st.just("broken")
)


def covers(missing: Missing, well: str, field: int, channel: str) -> bool:
    return missing.well == well and missing.field in (None, field) and missing.channel in (None, channel)


def opened(places: list[tuple[str, int, str, int | None, int | None]], refused: list[Missing], z: ZChoice) -> Readout:
    planes = tuple(
        Plane(w, f, c, Path(f"{i}.tif"), z, t, pixel_size_um=1.0) for i, (w, f, c, z, t) in enumerate(places)
    )
    listing = Listing("test", "P", CHANNELS, planes, tuple(refused), frozenset(WELLS), FIELDS)
    return to_readout(listing, Path(), Selection(z))


@settings(max_examples=200, deadline=None)
@given(st.lists(PLACES, max_size=20), st.lists(REFUSED, max_size=4), st.sampled_from(["projection", "middle", "max"]))
def test_what_is_due_is_there_or_told(
    places: list[tuple[str, int, str, int | None, int | None]],
    refused: list[tuple[str, int | None, str | None, str]],
    z: ZChoice,
) -> None:
    readout = opened(places, [Missing(*r) for r in refused], z)
    have = [(i.well, i.field, i.channel) for i in readout.images]
    assert len(have) == len(set(have))
    for well in WELLS:
        for field in FIELDS:
            for channel in CHANNELS:
                is_told = any(covers(m, well, field, channel) for m in readout.missing)
                assert is_told or (well, field, channel) in have


@settings(max_examples=100, deadline=None)
@given(st.lists(PLACES, max_size=20), st.randoms())
def test_the_order_of_listing_does_not_matter_without_duplicates(
    places: list[tuple[str, int, str, int | None, int | None]], random: object
) -> None:
    once = list({p[:3]: p for p in places}.values())
    names = {p: i for i, p in enumerate(once)}
    mixed = list(once)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    sides = []
    for side in (once, mixed):
        planes = tuple(Plane(*p[:3], Path(f"{names[p]}.tif"), *p[3:], pixel_size_um=1.0) for p in side)
        sides.append(to_readout(Listing("test", "P", CHANNELS, planes), Path(), Selection()))
    assert sides[0] == sides[1]
