"""A night on SQLite and on PostgreSQL, one that lacks them for a while, and the same night again from its journal."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_lab import device_log, ended_night, make_lab, nextplate, run_lab

from controller.lab import open_lab
from controller.store import open_store
from nextplate.errors import DiskFull, StoreAway
from tests.support.four_plates import Calm, calm_of, copied
from tests.support.outages import Ballast, Server, interrupted, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.opentrons, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    return ended_night(tmp_path_factory)


def test_the_same_night_again_is_the_same_to_the_last_hash(night, tmp_path: Path):
    folder, body = night
    again = json.loads(nextplate("replay-night", "--lab", folder, "--keep", tmp_path / "again", "--json"))
    assert again["same"]
    assert again["differences"] == []
    assert {(d["device"], d["action"]) for d in again["durations"]} >= {("imager", "acquire"), ("plate-mover", "move")}
    assert all(d["n"][0] == d["n"][1] and d["median_s"][0] == d["median_s"][1] for d in again["durations"])
    kept = json.loads(nextplate("journal", "verify", "--lab", tmp_path / "again", "--json"))
    assert (kept["events"], kept["hash"]) == (body["journal_seq"], body["journal_hash"])
    assert json.loads(nextplate("status", "--lab", folder, "--json"))["journal_hash"] == body["journal_hash"]
    nextplate("replay-night", "--lab", folder, "--keep", tmp_path / "again", code=2)
    nextplate("replay-night", "--lab", folder, "--campaign", "other", code=2)


OFFSETS = [{"labware": "corning_96_wellplate_360ul_flat", "slot": "C2", "x_mm": 0.1, "y_mm": 0.0, "z_mm": -0.3}]


def test_what_people_said_is_said_again_a_second_campaign_begins_where_it_began_and_another_world_is_told(
    tmp_path: Path,
):
    deck = '[deck]\noffsets = "measured/offsets.json"\n'
    folder = make_lab(tmp_path / "lab", rounds=1, policy="hand", partial_load="ask", faults="crash = 1.0", assay=deck)
    (folder / "measured").mkdir()
    (folder / "measured" / "offsets.json").write_text(json.dumps(OFFSETS))
    run_lab(folder, code=1)
    nextplate("pause", "--lab", folder)
    run_lab(folder, code=1)
    nextplate("resume", "--lab", folder)
    nextplate("approve", 1, "--lab", folder)
    (fault,) = run_lab(folder, code=1)["faults"]
    assert fault["choices"] == ["accept", "lose-plate", "abort"]
    dosed = {row["destination_well"] for row in device_log(folder, "handler")}
    assert 0 < len(dosed) < 96
    nextplate("answer", fault["fault"], "retry", "--lab", folder, code=2)
    nextplate("answer", fault["fault"], "accept", "--lab", folder)
    run_lab(folder, code=1)  # the imager breaks off as well
    assert len(device_log(folder, "handler")) == len(dosed), "what was pipetted is not pipetted again"
    nextplate("abort", "--lab", folder)
    run_lab(folder, code=1)
    config = folder / "lab.toml"
    config.write_text(config.read_text().replace("[campaign]", '[campaign]\nname = "second"'))
    run_lab(folder, code=1)  # with other tips, what is left of the stock and another plate
    again = json.loads(nextplate("replay-night", "--lab", folder, "--keep", tmp_path / "again", "--json"))
    assert (again["campaign"], again["same"], again["not_repeated"]) == ("second", True, [])
    assert again["tasks"]["real"] >= 5
    with open_store(open_lab(tmp_path / "again").database) as store:
        told = [(e.campaign, e.payload["what"]) for e in store.events() if e.kind == "decision"]
    assert told == [("first", what) for what in ("pause", "resume", "approve", "answer", "abort")]
    config.write_text(config.read_text().replace("crash = 1.0", "crash = 0.0"))
    parted = json.loads(nextplate("replay-night", "--lab", folder, "--campaign", "first", "--json"))
    assert not parted["same"]
    assert fault["fault"] in [d["key"] for d in parted["differences"]]
    assert any(what.startswith("answer by") for what in parted["not_repeated"])
    (folder / "measured" / "offsets.json").unlink()
    nextplate("replay-night", "--lab", folder, code=2)


@pytest.fixture(scope="module")
def calm(night, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """The same night undisturbed; what its steps computed lies there already in labs copied from it."""
    fresh = make_lab(tmp_path_factory.mktemp("fresh") / "lab", rounds=1)
    return calm_of(fresh, night[0])


def test_on_a_full_disk_nothing_is_done_unannounced_and_with_room_again_nothing_twice(calm, tmp_path: Path):
    if os.getuid() != 0:
        pytest.skip("a small file system can only be mounted as root")
    with small_disk(tmp_path / "disk") as disk:
        lab = copied(calm, tmp_path / "lab", f"sqlite:///{disk}/lab.db")
        n, wrong = interrupted(lab, calm, 3, Ballast(disk), DiskFull)
    assert n == 3
    assert wrong == []


@pytest.mark.postgres
def test_without_its_server_a_night_ends_with_a_word_and_goes_on_when_it_is_back(calm, tmp_path: Path, cluster):
    lab = make_lab(tmp_path / "lab", rounds=1, database=cluster.new_database())
    for name in ("models", "measurements", "protocols"):
        shutil.copytree(calm.fresh / name, lab / name, dirs_exist_ok=True)
    n, wrong = interrupted(lab, calm, 3, Server(cluster), StoreAway)
    assert n == 3
    assert wrong == []


@pytest.mark.postgres
def test_postgresql_and_sqlite_write_one_journal(night, tmp_path: Path, cluster):
    _, body = night
    folder = make_lab(tmp_path / "lab", rounds=1, database=cluster.new_database())
    ended = run_lab(folder)
    assert ended["finished"]
    assert (ended["journal_seq"], ended["journal_hash"]) == (body["journal_seq"], body["journal_hash"])
    with open_store(open_lab(folder).database) as store:
        assert not store.address.is_file
        assert store.verify().hash == body["journal_hash"]
