"""nextplate schedule: text, picture and JSON agree, and nothing is touched."""

import json

import pytest
from small_lab import make_lab, nextplate, run_lab


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A lab whose round is proven and waits for approval."""
    folder = make_lab(tmp_path_factory.mktemp("waiting") / "lab", rounds=1, policy="hand")
    run_lab(folder, code=1)
    return folder


@pytest.mark.slow
@pytest.mark.opentrons
def test_a_proven_plate_is_foreseen(waiting, tmp_path):
    body = json.loads(nextplate("schedule", "--lab", waiting, "--solve", 2, "--json"))
    assert [p["stage"] for p in body["placed"]] == ["dispense", "incubate", "image"]
    assert body["placed"][1]["end_s"] - body["placed"][1]["start_s"] == 24 * 3600
    assert body["bound_s"] <= body["end_s"]
    assert "NP-0001 |" in nextplate("schedule", "--lab", waiting, "--picture", tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    nextplate("schedule", "--lab", waiting, "--picture", tmp_path / "s.jpg", code=2)


def test_a_lab_without_a_campaign_foresees_nothing(tmp_path):
    nextplate("init", tmp_path / "lab")
    assert "nothing is to be foreseen" in nextplate("schedule", "--lab", tmp_path / "lab")
