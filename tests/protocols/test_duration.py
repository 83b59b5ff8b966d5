"""How long a protocol takes: more work takes longer, eight channels and kept tips save time, and a range is told."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.compile import TipPolicy
from protocols.duration import estimate, estimate_loads, words
from protocols.model import DeckLoad, Incubate, Protocol
from tests.support.orders_lab import dose_lab
from tests.support.right_protocols import right_protocol


@given(st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_the_loads_add_up_and_the_range_holds_the_estimate(seed: int):
    protocol, _, _ = right_protocol(seed)
    whole = estimate(protocol)
    assert whole.low_s <= whole.seconds <= whole.high_s
    assert sum(spent.seconds for spent in estimate_loads(protocol)) <= whole.seconds


def test_another_step_takes_longer_by_what_it_says_and_waiting_has_no_error():
    protocol, _, _ = right_protocol(3)
    load = protocol.loads[-1]
    longer = DeckLoad(load.index, load.deck, (*load.steps, Incubate(9_999, load.deck[0].barcode, 3_600)))
    more = Protocol(**{**_fields(protocol), "loads": (*protocol.loads[:-1], longer)})
    before, after = estimate(protocol), estimate(more)
    for name in ("seconds", "low_s", "high_s"):
        assert getattr(after, name) - getattr(before, name) == pytest.approx(3_600)


def test_eight_channels_and_kept_tips_save_time():
    alone, eight = (dose_lab(20, (10.0, 1.0), has_eight=has).compiled().protocol for has in (False, True))
    assert estimate(eight).seconds < estimate(alone).seconds
    fresh, kept = (_kept(policy) for policy in (TipPolicy.FRESH, TipPolicy.KEEP))
    assert estimate(kept).seconds < estimate(fresh).seconds


def test_an_empty_protocol_takes_no_time():
    assert estimate(Protocol("p", "flex", "flex_1channel_50", "left", ())).seconds == 0
    assert words(estimate(Protocol("p", "flex", "x", "left", ()))) == "0 min (0 min to 0 min)"


def _kept(policy: TipPolicy) -> Protocol:
    lab = dose_lab(20, (10.0, 1.0))
    lab.rules = replace(lab.rules, tip_policy=policy)
    return lab.compiled().protocol


def _fields(protocol: Protocol) -> dict[str, object]:
    return {name: getattr(protocol, name) for name in ("name", "robot", "pipette", "mount", "loads", "multichannel")}
