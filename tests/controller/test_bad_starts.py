"""What a night must not start on, or must not be told twice: through the command line, with one clear error."""

import json
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from controller_fakes import FakeClock, FakeLab
from journal_lab import typed, write_lab
from small_lab import REAL, SIMULATED, SPARE_ARM

from controller.lab import open_lab
from controller.settings import Settings, load_settings
from controller.settingswatch import SettingsWatch, changed_text
from controller.starting import check_stations, stations_of
from controller.state import fold
from controller.store import NewEvent, open_store, read_journal
from nextplate.errors import PlanError, SettingsError

DAY = timedelta(days=1)


def asked(folder: Path) -> tuple[Path, str]:
    """A lab with one open question."""
    fake = FakeLab(rounds=1)
    fake.device.unknown.add("first.r0.run-0")
    state = fake.run()
    return write_lab(folder, fake), state.open_faults()[0].fault


def test_of_two_operators_who_answer_at_once_the_first_wins_and_the_second_is_told(tmp_path: Path):
    lab, fault = asked(tmp_path / "lab")
    command = [sys.executable, "-c", "from controller.cli import main; main()", "answer", fault]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen([*command, choice, "--lab", str(lab)], env=environment, stderr=subprocess.PIPE, text=True)
        for choice in ("done", "not-done")
    ]
    said = {p.communicate(timeout=200)[1].strip(): p.returncode for p in both}
    assert sorted(said.values()) == [0, 2]
    refusal = next(text for text, code in said.items() if code == 2)
    assert refusal.startswith(f"nextplate: fault {fault} was answered '")
    assert "already, by " in refusal
    with open_store(open_lab(lab).database) as store:
        assert len(store.waiting_decisions()) == 1
    late = typed(lab, "answer", fault, "write-off")
    assert (late.code, late.err.strip()) == (2, refusal), "and so is whoever comes later"


def test_a_device_that_is_not_named_any_more_keeps_the_night_from_starting_while_a_plate_is_in_it(tmp_path: Path):
    fake = FakeLab(rounds=1)
    fake.run()
    before = next(e.seq for e in fake.journal.events if e.kind == "intent" and e.payload["task"] == "fetch")
    del fake.journal.events[before - 1 :]
    lab = write_lab(tmp_path / "lab", fake, SIMULATED.replace('name = "incubator"', 'name = "old"'))
    opened = open_lab(lab)
    with open_store(opened.database) as store:
        told = {"stations": stations_of(opened.settings)}
        store.append([NewEvent("controller.started", fake.clock.now(), "first", told)])
    (lab / "lab.toml").write_text(SIMULATED.replace('name = "incubator"', 'name = "new"'))
    said = typed(lab, "run")
    assert said.code == 2
    assert said.err.strip().count("\n") == 0
    assert "plate NP-0001 stands at incubator of 'old' (driver 'sim')" in said.err
    assert "now names 'new' (driver 'sim') there" in said.err
    assert "nextplate plate carried NP-0001 stack/done" in said.err
    assert typed(lab, "plate", "carried", "NP-0001", "stack/done").code == 0
    opened = open_lab(lab)
    state = fold(read_journal(opened.database))
    with open_store(opened.database) as store:
        check_stations(opened, state, [json.loads(row["decision"]) for row in store.waiting_decisions()])
    with pytest.raises(PlanError, match="NP-0001"):
        check_stations(opened, state, [])


@pytest.mark.parametrize("command", [("run",), ("status",), ("watch", "--once")])
def test_a_journal_edited_by_hand_is_refused_with_the_event_named(tmp_path: Path, command):
    lab, _ = asked(tmp_path / "lab")
    with sqlite3.connect(lab / "nextplate.db") as db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute("UPDATE journal SET payload = replace(payload, 'ucb', 'ei') WHERE seq = 1")
        assert db.execute("SELECT changes()").fetchone() == (1,)
    db.close()
    said = typed(lab, *command)
    assert said.code == 1
    assert said.err.strip() == "nextplate: journal event 1 (campaign.started) was changed after it was written"


@pytest.mark.parametrize(
    ("off", "why"),
    [(400 * DAY, "but the lab was at work at"), (-400 * DAY, "days after the lab was last at work")],
)
def test_a_clock_that_is_wrong_by_a_year_starts_nothing_until_somebody_says_it_is_right(tmp_path: Path, off, why):
    fake = FakeLab(rounds=1, clock=FakeClock(datetime.now(UTC).replace(microsecond=0) + off))
    fake.run()
    lab = write_lab(tmp_path / "lab", fake, REAL)
    said = typed(lab, "run")
    assert said.code == 2
    assert why in said.err
    assert "set the clock, or, if it is right, say so: nextplate nightly --clock-is-right" in said.err
    assert len(read_journal(open_lab(lab).database)) == len(fake.journal.events), "nothing was written"
    assert typed(lab, "nightly", "--clock-is-right").code == 0
    assert why not in typed(lab, "run").err


def test_settings_changed_while_a_night_runs_are_named_once(tmp_path: Path):
    lab, _ = asked(tmp_path / "lab")
    watch, path = SettingsWatch(open_lab(lab)), lab / "lab.toml"
    began = path.read_text()
    assert watch.news() == []
    path.write_text(began.replace("max_compounds = 400", "max_compounds = 4000"))
    ((kind, campaign, told),) = watch.news()
    assert (kind, campaign, told["differs"]) == ("settings.changed", None, ["approval.max_compounds"])
    assert "this night goes on with the settings it started with" in changed_text(told)
    assert watch.news() == []
    path.write_text("[approval]\nmax_compunds = 4")
    ((_, _, told),) = watch.news()
    assert "lab.toml:2: approval.max_compunds is not a setting; did you mean max_compounds?" in told["mistake"]
    path.write_text(began)
    ((_, _, told),) = watch.news()
    assert changed_text(told) == "lab.toml is again what it was when this night started"


def test_a_device_that_stood_in_is_not_taken_away_from_a_campaign(tmp_path: Path):
    with_spare = load(tmp_path, SIMULATED + SPARE_ARM)
    fake = FakeLab(rounds=1, settings=with_spare)
    lab = write_lab(tmp_path / "lab", fake, SIMULATED + SPARE_ARM)
    (lab / "lab.toml").write_text(SIMULATED)
    said = typed(lab, "run")
    assert said.code == 2
    assert "'arm-2' stood in when campaign 'first' began; put it back into lab.toml" in said.err


@pytest.mark.parametrize("kind", ["imager", "incubator"])
def test_only_what_no_plate_stands_at_can_stand_in(tmp_path: Path, kind: str):
    spare = f'[[device]]\nname = "two"\nkind = "{kind}"\nstands_in = true\n'
    with pytest.raises(SettingsError, match=f"only a plate-mover can stand in, not '{kind}'"):
        load(tmp_path, SIMULATED + spare)


def load(folder: Path, text: str) -> Settings:
    (folder / "lab.toml").write_text(text)
    return load_settings(folder / "lab.toml")
