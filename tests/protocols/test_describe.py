"""Instructions name every plate, slot and amount that people have to provide."""

from protocols.describe import describe, duration_words, estimate_s, loads_table, n_swaps, volume_by_source
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
    assert estimate_s(protocol) > 13 * lab.deck.transfer_s


def test_durations_in_words() -> None:
    assert [duration_words(s) for s in (0, 1, 3_600, 7_500)] == ["0 min", "1 min", "1 h 00 min", "2 h 05 min"]
