"""Channels by the names people know them by."""

from pathlib import Path

import pytest

from nextplate.errors import DataError
from nextplate.imaging.channels import Roles, chosen_channels, nuclear_channel, renamed
from nextplate.readout import FieldImage, Missing, Readout


def readout() -> Readout:
    images = tuple(FieldImage("P", "A01", 1, c, Path(f"{c}.tif"), None) for c in ("1", "2"))
    return Readout("r", "P", Path("P"), ("1", "2"), images, (Missing("A02", 1, "2", "no image"),), True)


@pytest.mark.parametrize(
    ("channels", "found"),
    [
        (("DAPI", "GFP"), "DAPI"),
        (("Orig DNA", "AGP"), "Orig DNA"),
        (("HOECHST 33342", "Brightfield"), "HOECHST 33342"),
        (("405", "488"), None),
        (("DAPI", "Nuclei mask"), None),
        ((), None),
    ],
)
def test_the_nuclear_stain_by_its_name(channels: tuple[str, ...], found: str | None):
    assert nuclear_channel(channels) == found


@pytest.mark.parametrize(
    ("held", "wanted", "dna", "reporter", "roles"),
    [
        (("DAPI", "GFP"), None, None, None, Roles("DAPI", "GFP", ())),
        (("GFP", "DAPI"), None, None, "none", Roles("DAPI", None, ("GFP",))),
        (("DAPI", "GFP", "RFP"), None, None, None, Roles("DAPI", None, ("GFP", "RFP"))),
        (("DAPI", "GFP", "RFP"), None, None, "RFP", Roles("DAPI", "RFP", ("GFP",))),
        (("DAPI", "GFP", "RFP"), ("GFP",), None, None, Roles("DAPI", "GFP", ())),
        (("DAPI", "GFP", "RFP"), ("GFP",), None, "RFP", Roles("DAPI", "RFP", ("GFP",))),
        (("1", "2"), None, "2", None, Roles("2", "1", ())),
        (("DAPI",), None, None, None, Roles("DAPI", None, ())),
    ],
)
def test_what_each_channel_is_for(held, wanted, dna, reporter, roles):
    assert chosen_channels(held, wanted, dna, reporter) == roles


@pytest.mark.parametrize(
    ("held", "wanted", "dna", "reporter", "message"),
    [
        (("1", "2"), None, None, None, "which channel stains the nuclei"),
        (("DAPI", "GFP"), None, "DNA", None, "no channel 'DNA'; it has DAPI, GFP"),
        (("DAPI", "GFP"), ("RFP",), None, None, "no channel 'RFP'"),
        ((), None, None, None, "there are none"),
    ],
)
def test_what_cannot_be_known_is_asked_for(held, wanted, dna, reporter, message):
    with pytest.raises(DataError, match=message):
        chosen_channels(held, wanted, dna, reporter)


def test_renaming_reaches_images_and_what_is_missing():
    found = renamed(readout(), {"2": "DNA"})
    assert found.channels == ("1", "DNA")
    assert [i.channel for i in found.images] == ["1", "DNA"]
    assert found.missing[0].channel == "DNA"


@pytest.mark.parametrize(("names", "message"), [({"3": "x"}, "no channel '3'"), ({"2": "1"}, "would be called '1'")])
def test_names_that_cannot_be_given(names, message):
    with pytest.raises(DataError, match=message):
        renamed(readout(), names)
