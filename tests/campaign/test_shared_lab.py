"""Two campaigns in one simulated lab whose devices lose replies: nothing twice, one journal, and killed with -9."""

import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_lab import command, device_log, environment, make_lab, nextplate, planned_transfers, run_lab

from tests.support.four_plates import LOSSY, Calm, calm_of, copied, killed_in_process, play, result_of, wrongs

pytestmark = [pytest.mark.slow, pytest.mark.opentrons]

OTHER = """
[campaign]
name = "second"
rounds = 1
seed = 9
priority = 2
[picking]
rule = "random"
"""


def shared_lab(folder: Path) -> Path:
    make_lab(folder, rounds=1, faults=LOSSY)
    (folder / "campaigns").mkdir()
    (folder / "campaigns" / "second.toml").write_text(OTHER)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = shared_lab(tmp_path_factory.mktemp("shared") / "lab")
    return folder, run_lab(folder)


def test_both_campaigns_end_and_each_has_its_own_status_and_report(shared):
    folder, body = shared
    assert body["campaigns"] == {"first": "finished", "second": "finished"}
    plates = [json.loads(nextplate("status", "--lab", folder, "--campaign", name, "--json"))["rounds"][0]["plate"]
              for name in ("first", "second")]  # fmt: skip
    assert sorted(plates) == ["NP-0001", "NP-0002"]
    nextplate("report", "--lab", folder, "--campaign", "second", "--out", folder / "second")
    assert "second" in (folder / "second" / "report.html").read_text()
    nextplate("status", "--lab", folder, "--campaign", "third", code=2)


def test_no_transfer_and_no_tip_is_used_twice(shared):
    folder, _ = shared
    log = device_log(folder, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(folder)
    assert max(Counter((row["tip_rack"], row["tip_well"]) for row in log).values()) == 1


@pytest.mark.long  # tests/controller/evidence/test_nights_again.py holds a night against itself
def test_the_same_night_writes_the_same_journal(shared, tmp_path):
    assert run_lab(shared_lab(tmp_path / "lab"))["journal_hash"] == shared[1]["journal_hash"]


@pytest.mark.long  # tests/controller/test_campaigns_share.py kills at every commit
def test_killed_again_and_again_both_end_with_everything_once(shared, tmp_path):
    folder, rng = shared_lab(tmp_path / "lab"), np.random.default_rng(7)
    for _ in range(5):
        process = subprocess.Popen(
            command("run", "--lab", folder, "--json"), env=environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(rng.uniform(2.0, 7.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run_lab(folder)["campaigns"] == {"first": "finished", "second": "finished"}
    log = device_log(folder, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(folder)
    images = Counter(row["barcode"] for row in device_log(folder, "imager"))
    assert len(images) == 2
    assert set(images.values()) == {96}
    nextplate("journal", "verify", "--lab", folder)


@pytest.fixture(scope="module")
def calm(shared, tmp_path_factory) -> Calm:
    """The same night undisturbed; what its steps computed lies there already in labs copied from it."""
    return calm_of(shared_lab(tmp_path_factory.mktemp("fresh") / "lab"), shared[0])


def test_the_journal_does_not_tell_how_long_computing_took(calm, tmp_path):
    assert play(copied(calm, tmp_path / "lab")).head.hash == calm.head


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_a_commit_or_a_hand_over_the_devices_own_logs_are_those_of_the_calm_night(calm, tmp_path, seed):
    lab = copied(calm, tmp_path / "lab")
    ending = killed_in_process(lab, int(np.random.default_rng(seed).integers(1, calm.n_moments)))
    assert not ending.needs_person
    assert wrongs(lab, calm) == []
    assert result_of(ending.state) == calm.result


def test_a_campaign_that_names_what_is_the_labs_or_has_no_name_is_refused(tmp_path, capsys):
    folder = make_lab(tmp_path / "lab", rounds=1)
    (folder / "campaigns").mkdir()
    for text, said in (
        ("[sim]\nseed = 3\n[campaign]\nname = 'b'\n", "second.toml:1: table 'sim' is the lab's"),
        ("[picking]\nrule = 'random'\n", "a campaign needs a name of its own"),
        ("[campaign]\nname = 'first'\n", "campaign.name = 'first' is that of"),
        ("[campaign]\nname = 'b'\nrounds = 0\n", "second.toml:3: campaign.rounds = 0"),
    ):
        (folder / "campaigns" / "second.toml").write_text(text)
        done = subprocess.run(
            command("run", "--lab", folder), capture_output=True, text=True, env=environment(), check=False
        )
        assert done.returncode == 2
        assert said in done.stderr


def test_a_decision_must_say_which_campaign_it_is_about(tmp_path):
    folder = make_lab(tmp_path / "lab", rounds=1, policy="hand")
    (folder / "campaigns").mkdir()
    (folder / "campaigns" / "second.toml").write_text(OTHER)
    body = run_lab(folder, code=1)
    assert body["campaigns"] == {"first": "waits for approval", "second": "waits for approval"}
    nextplate("approve", 1, "--lab", folder, code=2)
    nextplate("pause", "--lab", folder, code=2)
    nextplate("approve", 1, "--campaign", "second", "--lab", folder)
    body = run_lab(folder, code=1)
    assert body["campaigns"] == {"first": "waits for approval", "second": "finished"}
    nextplate("approve", 1, "--lab", folder)  # only one waits
