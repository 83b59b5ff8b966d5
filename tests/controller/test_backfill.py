"""assay.final_dmso_percent: doses by volume from one stock, and every well filled up with solvent to one share."""

from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest
from protocol_lab import PLATE, RESERVOIR, full_rack

from controller.readiness import check_ready
from controller.settings import Settings
from controller.steps import check as check_step
from controller.steps import compile as compile_step
from controller.steps.retest import series
from controller.steps.stocked import transfers_left, usable_wells
from nextplate.design import layout_to_csv
from nextplate.errors import PlanError
from nextplate.plate import PLATE_96, Layout, LayoutWell, Role
from protocols.labware import robot_deck
from protocols.model import Protocol
from tests.controller.test_readiness import CONTROLS, SAMPLE, FakeStore

DOSES = (2.0, 4.0, 8.0, 16.0, 40.0)
PARAMS = {
    "transfer_ul": 5.0, "well_volume_ul": 45.0, "dose_um": 10.0, "controls": ["DMSO", "REF-1"],
    "robot": "flex", "negative": "DMSO", "positive": "REF-1", "labware": "corning_96_wellplate_360ul_flat",
    "final_dmso_percent": 10.0,
}  # fmt: skip


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    rows = [("SRC-1", "A01", "C1", 30_000, 100.0, PLATE), ("SRC-1", "B01", "C2", 9_000, 100.0, PLATE)]
    rows += [("CTRL", "A01", "DMSO", 5_000_000, 0.0, RESERVOIR), ("CTRL", "A12", "REF-1", 5_000_000, 100.0, RESERVOIR)]
    names = ("source_plate", "source_well", "compound_id", "volume_nl", "concentration_um", "labware")
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(tmp_path / "stock.parquet")
    return tmp_path / "stock.parquet"


def layout(doses: tuple[float, ...]) -> Layout:
    roles = [(Role.SAMPLE, "C1", d) for d in doses] + [(Role.NEGATIVE, None, 0.0), (Role.POSITIVE, None, 0.0)]
    roles += [(Role.EMPTY, None, 0.0)] * (96 - len(roles))
    wells = zip(PLATE_96.wells(), roles, strict=True)
    return Layout("P-1", PLATE_96, tuple(LayoutWell(w, r, c, 0, d, "") for w, (r, c, d) in wells))


def run_compile(stock: Path, monkeypatch: pytest.MonkeyPatch, doses: tuple[float, ...] = (4.0, 8.0, 10.0)) -> Protocol:
    out = stock.parent
    (out / "layout.csv").write_text(layout_to_csv(layout(doses)))
    racks = (full_rack("TIPS-1", robot_deck("flex")),)
    for step in (compile_step, check_step):
        monkeypatch.setattr(step, "tip_racks", lambda _path: racks)
    inputs = {"layout": out / "layout.csv", "stock": stock, "tips": out}
    compile_step.run(inputs, PARAMS, out, lambda _done, _total: None)
    return Protocol.from_json((out / "protocol.json").read_text())


@pytest.mark.opentrons
def test_every_well_gets_its_dose_by_volume_and_as_much_solvent(stock: Path, monkeypatch: pytest.MonkeyPatch):
    protocol = run_compile(stock, monkeypatch)
    portions = defaultdict(dict)
    for t in protocol.transfers:
        portions[t.destination_well][t.compound_id] = t.volume_nl
    assert portions == {
        "A01": {"C1": 2_000, "DMSO": 3_000},
        "A02": {"C1": 4_000, "DMSO": 1_000},
        "A03": {"C1": 5_000},
        "A04": {"DMSO": 5_000},
        "A05": {"REF-1": 5_000},
    }
    inputs = {"protocol": stock.parent, "stock": stock, "tips": stock}
    checked = check_step.run(inputs, {**PARAMS, "python": "", "timeout_s": 120}, stock.parent, lambda _d, _t: None)
    assert checked["n_proven"] == 7


def test_a_dose_that_the_pipette_cannot_make_is_refused_by_its_well(stock: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(PlanError, match=r"A02 of P-1: 1 uM of C1 from 100 uM .* under the 1000 nl minimum"):
        run_compile(stock, monkeypatch, (8.0, 1.0))


def test_one_strength_gives_every_dose_of_a_series(stock: Path):
    at_8 = {**PARAMS, "dose_um": 8.0}
    assert transfers_left(usable_wells(stock, at_8, 8.0), at_8) == {"C1": 6, "C2": 1}
    row = {"round": 0, "compound_id": ["C1", "C2"], "dose_um": 10.0, "activity": 0.9, "is_hit": True, "is_used": True}
    tested = pl.DataFrame(row)
    params = {**PARAMS, "budget": {"wells": {"dose-response": 6}, "doses_um": [2.0, 4.0, 8.0]}}
    # The second compound's well has 5 ul over its dead volume, and the three doses take 7.
    picks, told = series(tested, stock, params)
    assert [p.compound_id for p in picks] == ["C1"]
    assert "of 1 hits no stock wells give every dose" in told[0]


def settings(**assay: object) -> Settings:
    return Settings.model_validate({"assay": {"final_dmso_percent": 10.0, **assay}})


def test_what_cannot_be_filled_up_is_told_before_the_campaign():
    check_ready(settings(), FakeStore(), "L")
    with pytest.raises(PlanError, match=r"no stock well gives the dose of 0.1 uM .* it takes 50 nl of 100 uM stock"):
        check_ready(settings(dose_um=0.1), FakeStore(), "L")
    strong = FakeStore(stock=(SAMPLE._replace(concentration_um=50.0), *CONTROLS))
    with pytest.raises(PlanError, match=r"it takes 10000 nl of 50 uM stock"):
        check_ready(settings(), strong, "L")


def test_a_series_from_one_strength_lets_a_campaign_start():
    body = {
        "assay": {"final_dmso_percent": 10.0, "dose_series_um": (*DOSES[:4], 10.0)},
        "picking": {"budget": {"exploit": 0.9, "dose_response": 0.1}},
    }
    check_ready(Settings.model_validate({**body, "assay": {**body["assay"], "dose_series_um": (2, 3, 4, 6, 8)}}),
                FakeStore(), "L")  # fmt: skip
    with pytest.raises(PlanError, match="none gives 16 uM"):
        check_ready(Settings.model_validate(body), FakeStore(), "L")


def test_a_control_that_would_run_dry_is_named_with_its_well():
    low = (SAMPLE, CONTROLS[0]._replace(volume_nl=90_000), CONTROLS[1])
    with pytest.raises(PlanError, match="would run dry: fill A01 of R1 with DMSO by at least 15000 nl"):
        check_ready(Settings(), FakeStore(stock=low), "L")


@pytest.mark.parametrize(
    ("assay", "words"),
    [
        (
            {"final_dmso_percent": 1.0},
            "final_dmso_percent = 1 is 0.455 microlitres a well; flex_1channel_50 moves 1 to 30",
        ),
        ({"final_dmso_percent": 50.0}, "45 microlitres a well; flex_1channel_50 moves 1 to 30"),
        ({"final_dmso_percent": 11.0}, "of the positive control leave 0.562 to fill up"),
        ({"final_dmso_percent": 20.0, "well_volume_ul": 100.0}, r"final_dmso_percent: 100 \+ 25 microlitres overfill"),
        ({"final_dmso_percent": 0.0}, "greater than 0"),
        ({"final_dmso_percent": 100.0}, "less than 100"),
    ],
)
def test_a_share_that_no_pipette_can_make_is_refused_in_the_settings(assay: dict[str, float], words: str):
    with pytest.raises(ValueError, match=words):
        settings(**assay)


def test_a_share_that_leaves_enough_to_fill_up_is_taken():
    settings(final_dmso_percent=12.0)  # 6.136 ul: 5 of the control, 1.136 to fill up


def test_the_share_is_in_the_journal_only_where_it_is_set():
    assert "final_dmso_percent" not in Settings().journal_body()["assay"]
    assert settings().journal_body()["assay"]["final_dmso_percent"] == 10.0
