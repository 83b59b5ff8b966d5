"""What a campaign lacks is said before it starts, with the key or command that mends it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.campaign import _with_adopted
from controller.readiness import check_ready
from controller.settings import AssaySection, Settings
from controller.store import StockNow, TipRackNow
from nextplate.errors import PlanError

PLATE = "corning_384_wellplate_112ul_flat"
SAMPLE = StockNow("S1", "A01", "C1", 60_000, 100.0, PLATE)
CONTROLS = (
    StockNow("R1", "A01", "DMSO", 9_000_000, 0.0, PLATE),
    StockNow("R1", "A02", "REF-1", 9_000_000, 100.0, PLATE),
)
RACK = TipRackNow("T1", "opentrons_flex_96_tiprack_50ul", 0, ())


@dataclass
class FakeStore:
    stock: Sequence[StockNow] = (SAMPLE, *CONTROLS)
    racks: Sequence[TipRackNow] = (RACK,)
    known: Sequence[str] = ("C1",)
    appended: list[Any] = field(default_factory=list)

    def stock_now(self) -> list[StockNow]:
        return list(self.stock)

    def tip_racks_now(self) -> list[TipRackNow]:
        return list(self.racks)

    def select(self, _table: str) -> list[dict[str, Any]]:
        return [{"compound_id": i} for i in self.known]


CASES = [
    (FakeStore(stock=()), {}, "nextplate stock add FILE"),
    (FakeStore(racks=()), {}, "nextplate tips add N"),
    (FakeStore(stock=(SAMPLE, CONTROLS[0])), {}, "no 'REF-1', which lab.toml names as assay.positive_control"),
    (FakeStore(), {"negative_control": "NOPE"}, "neither in the library nor a control in lab.toml: 'DMSO' in R1 A01"),
    (FakeStore(), {"dose_um": 1.0}, "100 uM stock gives 10 uM; change dose_um"),
    (FakeStore(stock=(SAMPLE._replace(concentration_um=10_000.0), *CONTROLS)), {}, "10000 uM stock gives 1000 uM"),
]


@pytest.mark.parametrize(("store", "assay", "says"), CASES, ids=[c[2][:30] for c in CASES])
def test_what_is_missing_is_named(store: FakeStore, assay: dict[str, Any], says: str):
    with pytest.raises(PlanError, match=says):
        check_ready(Settings(assay=AssaySection(**assay)), store, "L")


def test_a_lab_with_everything_may_start():
    check_ready(Settings(), FakeStore(), "L")
    with pytest.raises(PlanError, match="nextplate library add FILE"):
        check_ready(Settings(), FakeStore(), None)


def test_a_series_that_no_stock_gives_is_named_before_the_campaign():
    doses = (1.0, 2.0, 5.0, 10.0, 20.0)
    body = {"assay": {"dose_series_um": doses}, "picking": {"budget": {"exploit": 0.9, "dose_response": 0.1}}}
    settings = Settings.model_validate(body)
    with pytest.raises(PlanError, match="none gives 1, 2, 5, 20 uM"):
        check_ready(settings, FakeStore(), "L")
    diluted = [SAMPLE._replace(source_plate=f"D{dose:g}", concentration_um=10 * dose) for dose in doses]
    check_ready(settings, FakeStore(stock=(*diluted, *CONTROLS)), "L")
    parted = [w._replace(compound_id=f"C{i % 2 + 1}") for i, w in enumerate(diluted)]
    with pytest.raises(PlanError, match="no compound has a well for each"):
        check_ready(settings, FakeStore(stock=(*parted, SAMPLE, *CONTROLS), known=("C1", "C2")), "L")


def test_what_may_change_while_a_campaign_runs_and_what_may_not():
    from controller_fakes import FakeLab

    lab = FakeLab()
    changed = json.loads(Settings().model_dump_json(exclude={"lab", "sim"}))
    changed["assay"] |= {"dna_channel": "Hoechst", "dose_um": 3.0}
    changed["faults"]["failed_plate"] = "discard"
    changed["readout"] = {"pattern": "(?P<well>.+)"}

    @dataclass
    class Store:
        journal: Any

        def append(self, events: Any, *, expected_seq: int) -> Any:
            return self.journal.append(events, expected_seq=expected_seq)

        def head(self) -> Any:
            return type("Head", (), {"seq": len(self.journal.events)})

    from controller.state import fold

    settings = Settings.model_validate_json(json.dumps(changed))

    class Hardware:
        clock = lab.clock

    before = fold(lab.journal.events)
    after = _with_adopted(settings, Store(lab.journal), Hardware, before, before.campaign)
    assert after.campaign.settings["assay"]["dna_channel"] == "Hoechst"
    assert after.campaign.settings["faults"]["failed_plate"] == "discard"
    assert after.campaign.settings["assay"]["dose_um"] == 10.0
    assert after.campaign.settings["readout"]["pattern"] == "(?P<well>.+)"
    assert _with_adopted(settings, Store(lab.journal), Hardware, after, after.campaign) is after
