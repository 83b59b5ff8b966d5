"""One night in which much goes wrong and nobody has to come: the journal tells all of it."""

import json
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from small_lab import SIMULATED, SPARE_ARM, device_log, make_lab, nextplate, planned_transfers

from controller.app import connect
from controller.lab import open_lab
from controller.store import read_journal
from sim.lab import FaultKind

MORE = "[sensors.bands.incubator]\ntemperature_c = [36.0, 38.0]\n" + SIMULATED + SPARE_ARM


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The arm misses a plate, somebody left a plate on the deck, the incubator is too warm, lab.toml is changed."""
    folder = make_lab(tmp_path_factory.mktemp("bad") / "lab", rounds=1, faults="clogged_tip = 0.0", more=MORE)
    path = folder / "lab.toml"
    path.write_text(
        path.read_text().replace("[faults]\n", '[faults]\npolicy = { plate-mover = ["other-device"] }\n', 1)
    )
    hardware = connect(open_lab(folder))
    now, lab = hardware.clock.now(), hardware.simulated
    assert lab is not None
    lab.leave_plate("COFFEE", "deck/C2")
    lab.disturb("temperature_c", 41.5, now + timedelta(minutes=10), now + timedelta(hours=2))
    lab.break_device("mover", FaultKind.GRIP_MISSED)
    hardware.close()
    changing = threading.Thread(target=change, args=(folder,), daemon=True)
    changing.start()
    nextplate("run", "--lab", folder)
    changing.join(60)
    return folder


def change(folder: Path) -> None:
    """Change lab.toml as soon as the night is at work."""
    until = time.monotonic() + 120
    while not any((folder / "protocols").glob("pick-*")) and time.monotonic() < until:
        time.sleep(0.02)
    path = folder / "lab.toml"
    path.write_text(path.read_text().replace("n_confirm = 4", "n_confirm = 5"))


def events(folder: Path, kind: str) -> list[dict]:
    return [dict(e.payload) for e in read_journal(open_lab(folder).database) if e.kind == kind]


def test_it_ends_without_a_person_and_everything_happened_once(night: Path):
    assert json.loads(nextplate("status", "--lab", night, "--json"))["state"] == "finished"
    assert {d["by"] for d in events(night, "decision")} == {"policy"}
    log = device_log(night, "handler")
    moved = Counter((row["destination_plate"], row["transfer_id"]) for row in log)
    assert set(moved.values()) == {1}
    assert set(moved) <= set(planned_transfers(night))


def test_the_other_mover_takes_over_what_is_certainly_not_done(night: Path):
    answers = [d for d in events(night, "decision") if d["what"] == "answer"]
    assert [d["choice"] for d in answers] == ["other-device", "replan"]
    units = {e["key"]: e["action"].get("unit") for e in events(night, "intent") if e["task"] == "deck-0"}
    assert units == {"first.r0.deck-0": None, "first.r0.deck-0.1": "plate-mover:arm-2", "first.r0.deck-0.2": None}


def test_a_plate_that_nobody_registered_is_left_alone_and_its_place_not_used(night: Path):
    assert "COFFEE AT deck/C2, NOT REGISTERED" in nextplate("status", "--lab", night)
    moves = [m for e in events(night, "intent") for m in e["action"].get("command", {}).get("moves", ())]
    assert "COFFEE" not in {barcode for barcode, _, _ in moves}
    compiled = [e["result"]["summary"] for e in events(night, "outcome") if ".compile" in e["key"]]
    assert "C2" in {slot for slot, _, _ in compiled[0]["loads"][0]["deck"]}
    assert "C2" not in {slot for slot, _, _ in compiled[1]["loads"][0]["deck"]}
    approved = [d["digest"] for d in events(night, "decision") if d["what"] == "approve"]
    assert len(set(approved)) == 2, "another plan is another approval"


def test_the_incubator_was_suspended_and_went_on_by_itself(night: Path):
    (out,), (back,) = events(night, "device.suspended"), events(night, "device.resumed")
    assert (out["device"], out["reading"], out["value"]) == ("incubator", "temperature_c", 41.5)
    assert back["value"] == 37.0


def test_changed_settings_are_told_and_the_night_goes_on_as_it_began(night: Path):
    (told,) = events(night, "settings.changed")
    assert told["differs"] == ["plate.n_confirm"]
    assert told["digest"] != told["began"]
    (began,) = [e for e in events(night, "controller.started") if "settings" in e]
    assert len(began["settings"]) == 64
    assert events(night, "campaign.started")[0]["settings"]["plate"]["n_confirm"] == 4
