"""The keeper on an injected clock, with nights that do as the test says."""

import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from controller.nightly.book import Book, read_book, write_book
from controller.nightly.clockguard import ClockGuard, ClockWord, read_word, write_word
from controller.nightly.keeper import Keeper
from controller.nightly.patience import Patience
from controller.nightly.starts import Starts
from controller.nightly.told import Happening, HappeningLog, rotate
from controller.nightly.windows import parse_start

EVENING = datetime(2026, 3, 1, 19, 59, 58, tzinfo=UTC)


@dataclass
class FakeNight:
    said: list[dict[str, object]] = field(default_factory=list)
    exit: int | None = None
    was_asked: bool = False
    was_killed: bool = False
    n: int = 0

    def say(self, what: str, message: str = "", **facts: str) -> None:
        self.n += 1
        self.said.append({"n": self.n, "what": what, "message": message, **facts})

    def end(self, word: str, code: int, message: str = "") -> None:
        self.say("end", message, word=word)
        self.exit = code

    def pulses(self):
        taken, self.said = self.said, []
        return taken

    def code(self):
        return self.exit

    def stop(self) -> None:
        self.was_asked = True

    def kill(self, *, with_traces: bool = False) -> None:
        self.was_killed = True


class Bench:
    """A keeper with its world."""

    def __init__(self, folder: Path, patience: Patience | None = None, start: str = "20:00", book: Book | None = None):
        self.now, self.mono_s, self.folder = EVENING, 1000.0, folder
        self.nights: list[FakeNight] = []
        self.told: list[Happening] = []
        self.clock_path, self.book_path = folder / "clock.json", folder / "service.json"
        patience = patience or Patience(hang_s=30, stop_s=10, backoff_s=4, max_restarts=3)
        day = timedelta(days=1)
        self.keeper = Keeper(
            patience=patience,
            starts=Starts(ZoneInfo("UTC"), (parse_start(start),)),
            misfire=timedelta(hours=1),
            max_jump=day,
            guard=ClockGuard(self.clock_path, day, self.now, self.mono_s),
            begin_night=self._begin,
            save=lambda book: write_book(self.book_path, book),
            ask_clock=lambda question: write_word(self.clock_path, ClockWord(question)),
            tell=self.told.append,
            book=book or Book(),
        )

    def _begin(self) -> FakeNight:
        self.nights.append(FakeNight())
        return self.nights[-1]

    def go(self, seconds: int, *, beats: bool = True) -> None:
        """Let time pass, a second at a time, or twenty when it is long."""
        step = 1 if seconds < 600 else 20
        for _ in range(seconds // step):
            self.now, self.mono_s = self.now + timedelta(seconds=step), self.mono_s + step
            if beats and self.nights and self.nights[-1].exit is None:
                self.nights[-1].say("scan")
            self.keeper.tick(self.now, self.mono_s)

    def kinds(self) -> list[str]:
        return [told.kind for told in self.told]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_night_begins_at_its_start_and_once(bench: Bench):
    bench.go(1)
    assert bench.nights == []
    bench.go(100)
    assert len(bench.nights) == 1
    bench.nights[0].end("over", 0, "campaign first is finished")
    bench.go(3000)
    assert (len(bench.nights), bench.kinds()) == (1, ["night-started", "night-over"])
    assert read_book(bench.book_path) == Book(None, datetime(2026, 3, 1, 20, tzinfo=UTC))
    bench.go(86400 - 3000)
    assert len(bench.nights) == 2, "the next evening"


def test_a_start_while_a_night_runs_begins_no_second_one(bench: Bench):
    bench.go(5)
    bench.go(86400)
    assert len(bench.nights) == 1
    assert bench.kinds() == ["night-started"]
    bench.nights[0].end("over", 0)
    bench.go(60)
    assert len(bench.nights) == 1, "the start that passed is not made up for"


def test_a_crashed_night_is_started_again_with_growing_pauses_and_then_given_up(bench: Bench):
    bench.go(3)
    begun = [bench.mono_s]
    for _ in range(3):
        bench.nights[-1].exit = -9
        n = len(bench.nights)
        while len(bench.nights) == n:
            bench.go(1)
        begun.append(bench.mono_s)
    pauses = [b - a for a, b in pairwise(begun)]
    assert pauses == [5, 9, 17], "4, 8 and 16 s, seen a tick later"
    bench.nights[-1].exit = -11
    bench.go(2000)
    assert len(bench.nights) == 4
    assert bench.kinds() == ["night-started", *["crash", "restart"] * 3, "crash", "given-up"]
    assert "code -11" in bench.told[-1].message
    bench.go(86400 - 2000)
    assert len(bench.nights) == 5, "the next start tries again"


def test_crashes_long_ago_do_not_count(bench: Bench):
    bench.go(3)
    for _ in range(8):
        bench.nights[-1].exit = 1
        bench.go(3700)
    assert "given-up" not in bench.kinds()
    assert len(bench.nights) == 9


def test_a_night_that_hangs_is_killed_and_started_again(bench: Bench):
    bench.go(40)
    bench.go(29, beats=False)
    assert bench.kinds() == ["night-started"]
    bench.go(3, beats=False)
    assert bench.kinds() == ["night-started", "hang", "restart"]
    assert bench.nights[0].was_killed
    bench.go(6)
    assert len(bench.nights) == 2


@pytest.mark.parametrize(("word", "kinds", "n_nights"), [
    ("over", ["night-over"], 1), ("refused", ["refused"], 1), ("failed", ["failed", "restart"], 2),
    ("busy", ["busy", "settled"], 2), ("wanting", ["wanting", "settled"], 2),
    ("stopped", ["failed", "restart"], 2),  # somebody sent SIGTERM to the night, not to us
])  # fmt: skip
def test_what_follows_from_how_a_night_ends(bench: Bench, word: str, kinds: list[str], n_nights: int):
    bench.go(3)
    bench.nights[0].end(word, 1, "because")
    bench.go(60)
    assert bench.kinds() == ["night-started", *kinds]
    assert "because" in bench.told[1].message
    assert len(bench.nights) == n_nights


@pytest.mark.parametrize("word", ["busy", "wanting"])
def test_a_lab_that_is_held_or_lacks_room_is_asked_for_without_end_and_told_once(bench: Bench, word: str):
    bench.go(3)
    for _ in range(30):
        bench.nights[-1].end(word, 1, "free some space")
        bench.go(10, beats=False)
    assert bench.kinds() == ["night-started", word]
    bench.nights[-1].say("scan")
    bench.go(2)
    assert bench.kinds()[2:] == ["settled"]
    bench.nights[-1].end(word, 1, "again")
    bench.go(2)
    assert bench.kinds()[3:] == [word]
    bench.go(10)
    bench.nights[-1].end("over", 0)
    bench.go(2)
    assert bench.kinds()[4:] == ["settled", "night-over"]


def test_a_night_ended_by_the_stop_before_it_listened_is_no_crash(bench: Bench):
    bench.go(3)
    bench.keeper.stop(bench.mono_s)
    bench.nights[0].exit = -signal.SIGTERM
    bench.go(1)
    assert bench.keeper.is_done
    assert bench.kinds() == ["night-started"]


def test_a_night_that_crashes_while_the_service_stops_is_told_and_not_begun_again(bench: Bench):
    bench.go(3)
    bench.keeper.stop(bench.mono_s)
    bench.nights[0].exit = -signal.SIGSEGV
    bench.go(30)
    assert bench.kinds() == ["night-started", "crash"]
    assert len(bench.nights) == 1


def test_a_night_that_cannot_be_started_is_tried_again(bench: Bench):
    begin, bench.keeper.begin_night = bench.keeper.begin_night, _no_memory
    bench.go(5)
    assert bench.kinds() == ["night-started", "failed", "restart"]
    bench.keeper.begin_night = begin
    bench.go(10)
    assert len(bench.nights) == 1


def _no_memory() -> FakeNight:
    raise OSError(12, "Cannot allocate memory")


def test_a_question_is_told_when_it_is_asked_and_when_it_is_answered(bench: Bench):
    bench.go(3)
    for _ in range(3):
        bench.nights[0].say("waiting", "plate on the floor")
        bench.go(1)
    bench.nights[0].say("waiting", "")
    bench.go(1)
    assert bench.kinds() == ["night-started", "needs-person", "settled"]


def test_stopping_asks_the_night_and_keeps_its_book_open(bench: Bench, tmp_path: Path):
    bench.go(3)
    bench.keeper.stop(bench.mono_s)
    bench.go(2)
    assert bench.nights[0].was_asked
    assert not bench.keeper.is_done
    bench.nights[0].end("stopped", 0)
    bench.go(1)
    assert bench.keeper.is_done
    again = Bench(tmp_path, book=read_book(bench.book_path))
    again.now += timedelta(minutes=9)
    again.keeper.guard = ClockGuard(again.clock_path, timedelta(days=1), again.now, again.mono_s)
    again.keeper.resume(again.now, again.mono_s)
    again.go(1)
    assert again.kinds() == ["night-resumed"]
    assert len(again.nights) == 1


def test_a_night_that_does_not_stop_is_killed(bench: Bench):
    bench.go(3)
    bench.keeper.stop(bench.mono_s)
    bench.go(10)
    assert not bench.nights[0].was_killed
    bench.go(1)
    assert bench.nights[0].was_killed
    assert bench.keeper.is_done
    assert bench.kinds()[-1] == "stop-forced"


def test_the_clock_set_back_an_hour_begins_nothing_twice(bench: Bench):
    bench.go(60)
    bench.nights[0].end("over", 0)
    bench.go(60)
    bench.now -= timedelta(hours=1)
    bench.go(4000)
    assert len(bench.nights) == 1
    assert bench.kinds() == ["night-started", "night-over", "clock-set"]


def test_a_clock_that_jumps_over_a_start_makes_up_for_it(bench: Bench):
    bench.now += timedelta(minutes=30)
    bench.go(1)
    assert len(bench.nights) == 1
    assert bench.kinds() == ["clock-set", "night-started"]


def test_a_clock_wrong_by_a_year_is_asked_about_and_believed_again(bench: Bench):
    bench.go(5)
    bench.now += timedelta(days=365)
    bench.go(5)
    assert bench.kinds() == ["night-started", "clock-question"]
    assert "forward by 365.0 days" in str(read_word(bench.clock_path).question)
    bench.now -= timedelta(days=365)
    bench.go(5)
    assert bench.kinds()[-1] == "clock-believed"
    assert read_word(bench.clock_path).question is None


def test_a_start_acted_upon_by_a_clock_a_year_ahead_does_not_stop_later_ones(tmp_path: Path):
    bench = Bench(tmp_path, book=Book(None, EVENING + timedelta(days=365)))
    bench.go(5)
    assert len(bench.nights) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"night": 3, "handled": null}', '{"night": null}'])
def test_a_damaged_book_is_an_empty_one(tmp_path: Path, text: str):
    (tmp_path / "service.json").write_text(text)
    assert read_book(tmp_path / "service.json") == Book()


def test_the_logs_rotate(tmp_path: Path):
    log = HappeningLog(tmp_path, max_bytes=400, n_kept=2)
    for n in range(40):
        log(Happening("crash", EVENING, f"number {n}"))
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["nightly.log", "nightly.log.1", "nightly.log.2"]
    assert all(path.stat().st_size <= 400 for path in tmp_path.iterdir())
    assert "number 39" in (tmp_path / "nightly.log").read_text()
    other = tmp_path / "night.log"
    for n in range(5):
        other.write_text(f"{n}" * 10)
        rotate(other, max_bytes=10, n_kept=2)
    assert {p.name: p.read_text()[0] for p in tmp_path.glob("night.log*")} == {"night.log.1": "4", "night.log.2": "3"}


def test_a_campaign_that_is_left_out_is_told_of(bench: Bench):
    bench.go(3)
    bench.nights[0].say("left-out", "campaign second is left out")
    bench.go(1)
    assert (bench.kinds()[-1], bench.told[-1].message) == ("left-out", "campaign second is left out")
