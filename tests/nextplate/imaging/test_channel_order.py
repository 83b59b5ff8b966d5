"""Swapped files and wrong declarations are found; dead, blurred, empty and nuclear-reporter wells are left alone."""

import numpy as np
import pytest
import tifffile

from nextplate.errors import DataError
from nextplate.imaging.channel_look import ChannelLook, look_at, mean_look
from nextplate.imaging.channel_order import judge_channel_order
from nextplate.imaging.flatfield import background_of, binned, corrected, fit_flat_field, survey_field
from nextplate.imaging.quality import FLAGS, excludes
from tests.nextplate.imaging.qc_plates import QcPlate, bbbc013, images_folder, killed, living, nf1, phenix, rendered

NAN = float("nan")
NOTHING = ChannelLook(0, NAN, NAN, NAN, NAN, NAN, 8.0)


@pytest.fixture(scope="module")
def plate() -> QcPlate:
    """Twelve good wells of rising effect, four dying ones, an empty one, and one out of focus."""
    wells = [living(e) for e in np.linspace(0, 1, 12)] + [killed(s) for s in (0.5, 0.2, 0.05, 0.02)] + [killed(0.0)]
    return rendered(3, [*wells, living()], blurred=frozenset({17}))


def test_no_well_of_a_good_plate_is_flagged(plate: QcPlate) -> None:
    order = judge_channel_order(plate.looks, "DNA")
    assert not order.is_wrong.any()
    assert order.nuclear_channel is None
    assert set(order.reasons) == {""}


def test_a_single_swapped_well_is_found_and_no_other(plate: QcPlate) -> None:
    for well in plate.wells[:12]:
        order = judge_channel_order(plate.looks_swapped(well, "Reporter"), "DNA")
        assert [w for w, bad in zip(plate.wells, order.is_wrong, strict=True) if bad] == [well]
        assert order.nuclear_channel is None
        reason = order.reasons[plate.wells.index(well)]
        assert reason == "wrong-channel-order: the image filed as Reporter looks like DNA"


def test_a_wrong_declaration_is_the_plates_and_names_the_channel(plate: QcPlate) -> None:
    order = judge_channel_order(plate.looks, "Reporter")
    assert order.nuclear_channel == "DNA"
    assert order.is_wrong.all()


def test_a_plate_without_cells_says_nothing() -> None:
    order = judge_channel_order({"DNA": [NOTHING] * 12, "Reporter": [NOTHING] * 12}, "DNA")
    assert not order.is_wrong.any()
    assert order.nuclear_channel is None


def test_an_all_zero_image_shows_nothing() -> None:
    look = look_at(np.zeros((100, 100), np.float32), 0.0, 11.0, 0.5)
    assert look.n_objects == 0
    assert look.log_background == 0
    assert np.isnan(look.likeness)


def test_the_blanked_yokogawa_plate_shows_nothing_and_is_not_judged() -> None:
    paths = sorted(images_folder("yokogawa-cv8000").rglob("*_D08_T0001F*L01A01Z01C0*.tif"))
    images = [binned(tifffile.imread(p), 6) for p in paths[:4]]
    flat = fit_flat_field("C01", [survey_field(i) for i in images], images[0].shape)
    found = [corrected(i, flat) for i in images]
    looks = [look_at(signal, background_of(flat, shift), 11.0, flat.noise) for signal, shift in found] * 3
    assert [look.n_objects for look in looks] == [0.0] * 12
    assert not judge_channel_order({"C01": looks, "C02": looks}, "C01").is_wrong.any()


def test_one_channel_alone_is_never_out_of_order(plate: QcPlate) -> None:
    assert not judge_channel_order({"DNA": plate.looks["DNA"]}, "DNA").is_wrong.any()


def test_the_fields_of_a_well_are_averaged_where_they_show_something() -> None:
    one = ChannelLook(40, 0.98, 5.0, 0.99, 6.5, 10.0, 9.0)
    mean = mean_look([one, NOTHING])
    assert mean == ChannelLook(20, 0.98, 5.0, 0.99, 6.5, 10.0, 8.5)
    assert np.isnan(mean_look([NOTHING]).likeness)


@pytest.mark.parametrize("looks", [{"Reporter": [NOTHING]}, {"DNA": [NOTHING], "Reporter": [NOTHING] * 2}])
def test_every_channel_needs_a_look_per_well(looks: dict[str, list[ChannelLook]]) -> None:
    with pytest.raises(DataError, match="one look per well and channel"):
        judge_channel_order(looks, "DNA")


def test_the_code_is_in_the_catalogue_and_excludes() -> None:
    assert "wrong-channel-order" in FLAGS
    assert excludes("wrong-channel-order", 1)


def test_bbbc013_its_nuclear_reporter_is_no_wrong_order() -> None:
    """In the positive wells FKHR-GFP is in the nuclei: both channels look nuclear."""
    plate, roles = bbbc013(every=6)
    assert not judge_channel_order(plate.looks, "DNA").is_wrong.any()
    positives = [i for i, w in enumerate(plate.wells) if roles[w] == "positive"]
    alone = {c: [looks[i] for i in positives] for c, looks in plate.looks.items()}
    assert not judge_channel_order(alone, "DNA").is_wrong.any()
    wrong = judge_channel_order(plate.looks, "FKHR-GFP")
    assert wrong.nuclear_channel == "DNA"
    for well in [w for w in plate.wells if roles[w] == "negative"][::3]:
        found = judge_channel_order(plate.looks_swapped(well, "FKHR-GFP"), "DNA").is_wrong
        assert [w for w, bad in zip(plate.wells, found, strict=True) if bad] == [well]


def test_nf1_and_phenix_know_their_nuclear_channel() -> None:
    for plate in (nf1(), phenix()):
        assert not judge_channel_order(plate.looks, plate.dna).is_wrong.any()
        best = max(plate.looks, key=lambda c: np.mean([look.likeness for look in plate.looks[c]]))
        assert best == plate.dna
    looks = nf1().looks
    for declared in ("GFP", "RFP"):
        assert judge_channel_order(looks, declared).nuclear_channel == "DAPI"
