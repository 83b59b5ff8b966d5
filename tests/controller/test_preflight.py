"""preflight rehearses the night and touches nothing."""

import json
from pathlib import Path

import pytest
from small_lab import ended_night, make_lab, nextplate

pytestmark = [pytest.mark.slow, pytest.mark.opentrons]
SECOND = '[campaign]\nname = "second"\nrounds = 1\nseed = 9\n[picking]\nrule = "random"\n'


@pytest.fixture(scope="module")
def evening(tmp_path_factory) -> Path:
    """A lab of two campaigns whose plates have a tolerance, on an evening before the first night."""
    assay = "[assay]\nincubation_tolerance_min = 30\n"
    folder = make_lab(tmp_path_factory.mktemp("evening") / "lab", rounds=1, assay=assay)
    (folder / "campaigns").mkdir()
    (folder / "campaigns" / "second.toml").write_text(SECOND)
    return folder


@pytest.fixture(scope="module")
def foreseen(evening) -> dict:
    before = json.loads(nextplate("status", "--lab", evening, "--json"))
    body = json.loads(nextplate("preflight", "--lab", evening, "--rehearsals", 20, "--json"))
    assert json.loads(nextplate("status", "--lab", evening, "--json")) == before, "nothing is journaled"
    return body


def test_it_tells_when_the_night_ends_and_how_sure_that_is(foreseen):
    assert foreseen["will_work"]
    assert foreseen["plates"] == ["NP-0001", "NP-0002"]
    ends = foreseen["end"]
    assert ends["p05"] < ends["median"] < ends["p95"]


def test_it_tells_what_is_tight_and_what_to_load(foreseen):
    assert all(0 < m["p05"] <= m["median"] <= 30 for m in foreseen["margins_min"].values())
    assert len(foreseen["margins_min"]) == 2
    assert {"source", "tips", "destination"} <= set(foreseen["to_load"])
    assert sorted(foreseen["to_load"]["destination"]) == ["NP-0001", "NP-0002"]


@pytest.mark.parametrize("device", ["liquid-handler", "plate-mover", "incubator", "imager"])
def test_it_tells_what_happens_if_one_device_fails(foreseen, device):
    alone = foreseen["without"][device]
    assert alone["n_imaged"] < alone["n_plates"] == 2
    assert "fails" in alone["asked"][0]


@pytest.mark.long
def test_plates_to_dilute_in_are_named_as_such(tmp_path: Path):
    deck = '[assay]\ndose_um = 1.0\nfinal_dmso_percent = 10.0\n[deck]\ndilution = "corning_96_wellplate_360ul_flat"\n'
    lab = make_lab(tmp_path / "lab", assay=deck, rounds=1)
    nextplate("spares", "add", 1, "--lab", lab)
    assert "load empty plates to dilute in: DIL-0001" in nextplate("preflight", "--rehearsals", 1, "--lab", lab)


def test_two_rehearsals_with_one_seed_say_the_same(evening, foreseen):
    again = json.loads(nextplate("preflight", "--lab", evening, "--rehearsals", 20, "--json"))
    assert again == foreseen


def test_after_the_last_night_nothing_is_left_to_foresee(tmp_path_factory):
    folder, _ = ended_night(tmp_path_factory)
    assert "no campaign is left" in nextplate("preflight", "--lab", folder)


def test_a_night_that_would_run_dry_is_told_with_the_bottle(tmp_path):
    folder = make_lab(tmp_path / "lab", rounds=1)
    (folder / "lab.toml").write_text((folder / "lab.toml").read_text() + '\n[assay]\nnegative_control = "WATER"\n')
    said = nextplate("preflight", "--lab", folder, code=1)
    assert "needs a person first" in said
    assert "WATER" in said


def test_a_round_that_has_to_be_approved_is_said_to_hold_the_night(tmp_path):
    folder = make_lab(tmp_path / "lab", rounds=1, policy="hand")
    assert "first round 1 waits for approval" in nextplate("preflight", "--lab", folder, "--rehearsals", 2, code=1)


def test_a_time_that_the_windows_cannot_keep_is_told_in_the_evening(tmp_path):
    nightly = '[nightly]\nmove = ["20:00-22:00"]\n'
    assay = "[assay]\nincubation_h = 6\nincubation_tolerance_min = 30\n"
    folder = make_lab(tmp_path / "lab", rounds=1, assay=assay, more=nightly)
    said = nextplate("preflight", "--lab", folder, "--rehearsals", 1, code=1)
    assert "waits for approval" in said
    assert "robots may not move at all times ([nightly] move in lab.toml)" in said


def test_a_new_campaign_that_lacks_something_is_left_out_and_stops_nobody(tmp_path):
    folder = make_lab(tmp_path / "lab", rounds=1)
    (folder / "campaigns").mkdir()
    (folder / "campaigns" / "second.toml").write_text(SECOND + '[assay]\nnegative_control = "WATER"\n')
    body = json.loads(nextplate("preflight", "--lab", folder, "--rehearsals", 1, "--json", code=1))
    assert body["plates"] == ["NP-0001"]
    assert "WATER" in body["problems"][0]
    ended = json.loads(nextplate("run", "--lab", folder, "--json", code=1))
    assert ended["campaigns"] == {"first": "finished"}
    assert "WATER" in ended["left_out"]["second"]
    nextplate("run", "--lab", folder, code=2)  # nothing else is left to run
