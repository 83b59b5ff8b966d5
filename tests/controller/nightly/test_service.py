"""The service as processes: killed at any moment, hung, stopped, started twice; nothing twice, nothing lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from small_lab import REAL, device_log, ended_night, environment, make_lab, nextplate, planned_transfers

from controller.lab import open_lab
from controller.lock import lab_holder
from controller.state import fold
from controller.store import NewEvent, open_store

pytestmark = [pytest.mark.slow, pytest.mark.opentrons, pytest.mark.timeout(900)]

PATIENT = "\n[nightly]\nbackoff_s = 0.2\nmax_restarts = 100\nhang_s = 12.0\nstop_s = 30.0\n"


class Service:
    """`nextplate nightly --now` in a process of its own."""

    def __init__(self, lab: Path) -> None:
        self.lab = lab
        command = [sys.executable, "-m", "controller.cli", "nightly", "--now", "--json", "--lab", str(lab)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())

    def told(self) -> list[dict[str, Any]]:
        log = self.lab / "logs" / "nightly" / "nightly.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def kinds(self) -> list[str]:
        return [told["kind"] for told in self.told()]

    def nights(self) -> list[int]:
        """The processes that work on the lab for this service."""
        found = subprocess.run(
            ["pgrep", "-f", f"controller.nightly.night {self.lab}"], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@pytest.fixture
def begin() -> Iterator[Callable[[Path], Service]]:
    services: list[Service] = []

    def one(lab: Path) -> Service:
        services.append(Service(lab))
        return services[-1]

    yield one
    for service in services:
        if service.process.poll() is None:
            service.stop()
        if service.process.stderr:
            service.process.stderr.close()


def until(is_so: Callable[[], object], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def n_events(lab: Path) -> int:
    with open_store(open_lab(lab).database) as store:
        return store.head().seq


def check_done_once(lab: Path) -> str:
    """Check chain and devices' own logs; return the digest of the state."""
    nextplate("journal", "verify", "--lab", lab)
    log = device_log(lab, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(lab)
    with open_store(open_lab(lab).database) as store:
        state = fold(store.events())
    assert state.is_finished
    assert not state.faults
    return state.digest()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return check_done_once(ended_night(tmp_path_factory)[0])


def test_doubled_stopped_orphaned_and_hung_it_goes_on_where_it_was(tmp_path: Path, begin, calm: str):
    """One night that meets it all: a service starts a night in seconds of the processor."""
    lab = make_lab(tmp_path / "lab", rounds=1, more=PATIENT)
    first = begin(lab)
    until(lambda: n_events(lab) > 8)
    a_second_service_is_refused(begin(lab), first)
    a_service_that_is_told_to_stop_lets_go(first)
    orphaned = begin(lab)
    until(lambda: orphaned.nights() and "night-resumed" in orphaned.kinds())
    an_orphan_ends_by_itself_and_lets_go(orphaned)
    n_before = n_events(lab)
    last = begin(lab)
    until(lambda: n_events(lab) > n_before)
    os.kill(last.nights()[0], signal.SIGSTOP)
    until(lambda: "hang" in last.kinds())
    until(lambda: "night-over" in last.kinds())
    assert last.stop() == 0
    assert check_done_once(lab) == calm


def a_second_service_is_refused(second: Service, first: Service) -> None:
    assert second.process.wait(60) == 1
    assert second.process.stderr is not None
    said = second.process.stderr.read().decode()
    assert f"process {first.process.pid} (nextplate nightly" in said


def a_service_that_is_told_to_stop_lets_go(service: Service) -> None:
    assert service.stop() == 0
    assert lab_holder(service.lab) is None
    assert service.nights() == []
    assert service.kinds()[-1] == "service-stopped"


def an_orphan_ends_by_itself_and_lets_go(service: Service) -> None:
    service.process.kill()
    service.process.wait()
    until(lambda: lab_holder(service.lab) is None)
    until(lambda: service.nights() == [])
    nextplate("journal", "verify", "--lab", service.lab)


def killed_at_random(lab: Path, begin, seed: int, kills: int) -> None:
    """Kill night or keeper, or both, and start what is gone; in the end let it finish."""
    rng = random.Random(seed)
    service = begin(lab)
    for _ in range(kills):
        time.sleep(rng.uniform(0.3, 3.0))
        if "night-over" in service.kinds():
            break
        whom = rng.choice(["night", "keeper", "both"])
        if whom in ("night", "both"):
            for pid in service.nights():
                os.kill(pid, signal.SIGKILL)
        if whom in ("keeper", "both"):
            service.process.kill()
            service.process.wait()
            service = begin(lab)
    until(lambda: "night-over" in service.kinds(), 400)
    assert service.stop() == 0


def test_night_and_keeper_killed_at_random_moments(tmp_path: Path, begin, calm: str):
    lab = make_lab(tmp_path / "lab", rounds=1, more=PATIENT)
    killed_at_random(lab, begin, seed=3, kills=4)
    assert check_done_once(lab) == calm


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(8))
def test_night_and_keeper_killed_at_many_random_moments(tmp_path: Path, begin, calm: str, seed: int):
    lab = make_lab(tmp_path / "lab", rounds=1, more=PATIENT)
    killed_at_random(lab, begin, seed, kills=15)
    assert check_done_once(lab) == calm


def shut_window() -> str:
    """An hour of the day that is some hours away."""
    hour = (datetime.now(UTC).hour + 6) % 24
    return f"{hour:02d}:00-{hour:02d}:30"


def test_outside_its_window_a_real_lab_computes_and_asks_no_robot_for_anything(tmp_path: Path, begin):
    more = f'{REAL}\n[nightly]\nmove = ["{shut_window()}"]\n'
    lab = make_lab(tmp_path / "lab", rounds=1, more=more)
    begin(lab)
    until(lambda: list((lab / "protocols").glob("check-*/record.json")))
    time.sleep(3)
    assert list((lab / "exchange" / "requests").glob("*.json")) == []
    with open_store(open_lab(lab).database) as store:
        state = fold(store.events())
    assert not any("device" in intent.action for intent in state.intents.values())
    assert state.pending() == ()


def test_a_clock_wrong_by_a_year_holds_the_robots_until_a_person_says_it_is_right(tmp_path: Path, begin):
    lab = make_lab(tmp_path / "lab", rounds=1, more=f"{REAL}\n[nightly]\nhang_s = 60.0\n")
    with open_store(open_lab(lab).database) as store:
        future = datetime.now(UTC) + timedelta(days=365)
        store.append([NewEvent("decision.refused", future, None, {"why": "a test"})])
    service = begin(lab)
    until(lambda: "clock-question" in service.kinds())
    (asked,) = [told["message"] for told in service.told() if told["kind"] == "clock-question"]
    assert "but the lab was at work at" in asked
    assert list((lab / "exchange" / "requests").glob("*.json")) == []
    nextplate("nightly", "--clock-is-right", "--lab", lab)
    until(lambda: list((lab / "exchange" / "requests").glob("*.json")))
    until(lambda: "clock-believed" in service.kinds())


def test_what_only_a_person_can_help_with_is_told_once_and_not_tried_again(tmp_path: Path, begin):
    nextplate("init", tmp_path / "lab")
    service = begin(tmp_path / "lab")
    until(lambda: "refused" in service.kinds())
    time.sleep(2)
    assert service.kinds().count("refused") == 1
    assert "library" in service.told()[-1]["message"]
    assert service.stop() == 0


@pytest.mark.parametrize(("setting", "words"), [
    ('start = ["8 pm"]', "write HH:MM, or days and HH:MM"), ("start = []", "at least 1 item"),
    ('move = ["20:00-20:00"]', "the window is empty"), ('time_zone = "Mars"', "there is no such time zone"),
    ("hang_s = 0.0", "greater than or equal to 2"), ('moves = ["20:00-21:00"]', "did you mean move?"),
])  # fmt: skip
def test_mistakes_in_the_settings_are_named(tmp_path: Path, setting: str, words: str, capfd):
    nextplate("init", tmp_path / "lab")
    (tmp_path / "lab" / "lab.toml").write_text(f"[nightly]\n{setting}\n")
    command = [sys.executable, "-m", "controller.cli", "nightly", "--lab", str(tmp_path / "lab")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "lab.toml:2: nightly." in done.stderr


def test_the_next_starts_are_told(tmp_path: Path):
    lab = tmp_path / "lab"
    nextplate("init", lab)
    (lab / "lab.toml").write_text('[nightly]\nstart = ["mon-fri 20:00"]\ntime_zone = "Europe/Stockholm"\n')
    body = json.loads(nextplate("nightly", "--next", "--lab", lab, "--json"))
    assert len(body["starts"]) == 5
    assert all(datetime.fromisoformat(t).weekday() < 5 and "T20:00" in t for t in body["starts"])
    assert body["may_move_now"]
    assert "Type=notify" in nextplate("nightly", "--print-unit", "--lab", lab)
