"""Instructions name every plate, slot and amount that people have to provide."""

from dataclasses import replace

from protocols.describe import describe, loads_table, volume_by_source
from protocols.duration import duration_words, estimate, n_swaps
from protocols.forecast import to_load
from tests.support import wrong_protocols
from tests.support.orders_lab import dose_lab
from tests.support.protocol_lab import SmallLab


def test_the_text_names_every_item_and_total(lab: SmallLab) -> None:
    protocol = lab.protocol()
    text = describe(protocol)
    for item in protocol.loads[0].deck:
        assert any(line.split()[:3] == [item.slot, item.barcode, item.labware] for line in text.splitlines())
    assert "3 tips used, from F12 on" in text
    assert "the assay plate, 13 transfers into it" in text
    assert "CTRL  2.5 ul" in text


def test_numbers(lab: SmallLab) -> None:
    protocol = lab.protocol()
    assert sum(volume_by_source(protocol).values()) == 13 * 1_250
    assert loads_table(protocol)[0]["n_transfers"] == 13
    # Six pieces of labware go on the deck and come off again.
    assert n_swaps(protocol) == 12
    assert 10 * 13 < estimate(protocol).seconds < 60 * 13


def test_durations_in_words() -> None:
    assert [duration_words(s) for s in (0, 1, 3_600, 7_500)] == ["0 min", "1 min", "1 h 00 min", "2 h 05 min"]


def test_dilutions_columns_and_other_steps_are_named() -> None:
    lab = dose_lab(20, (10.0, 1.0, 0.1), has_eight=True)
    text = describe(lab.compiled().protocol)
    assert "flex_1channel_50 (left mount) and flex_8channel_50" in text
    assert "for dilutions, empty at first: " in text
    assert "moved by eight channels at once" in text
    assert "wells mixed" in text
    other = describe(wrong_protocols.right())
    assert "  step 23: let P stand for 3600 s at 37 C" in other
    assert estimate(wrong_protocols.right()).low_s > 3_600


def test_what_has_to_be_in_every_well_is_enough_and_no_less_would_be() -> None:
    lab = dose_lab(20, (10.0, 1.0, 0.1))
    protocol = lab.compiled().protocol
    have = {(h.plate, h.well): h.volume_nl for h in to_load(protocol)}
    assert {plate for plate, _ in have} == {"SRC-00", "TROUGH"}
    exact = [replace(s, volume_nl=have.get((s.source_plate, s.source_well), 0)) for s in lab.stock]
    assert replace(lab, stock=exact).ledger().problems(protocol) == []
    one_less = [replace(s, volume_nl=max(0, s.volume_nl - 1)) for s in exact]
    assert len(replace(lab, stock=one_less).ledger().problems(protocol)) == len(have)
    assert str(to_load(protocol)[0]) == "5 ul of CPD-0000 in A01 of SRC-00"
