"""One run of an Opentrons from its making to its end: made at most once, played at most once, followed to the end.

No request of the API has a key of its own, so whatever may have been acted on is looked for before it is sent again:
a run by its protocol, which is this key's alone; play by the run's own list of actions.
"""

from contextlib import suppress
from dataclasses import replace

from drivers import opentrons_words as words
from drivers.deadline import Deadline
from drivers.http_wire import Refused
from drivers.opentrons_api import OpentronsApi
from drivers.opentrons_memory import Intent, Intents
from drivers.opentrons_record import policy, report_of
from drivers.opentrons_words import IDLE, Run, RunWish
from drivers.ports import Report, Status
from drivers.wire import Garbled, WireError
from nextplate.errors import NeedsOperator
from protocols.model import DeckLoad

_TRIES = 3
_SURE = 2
"""Readings that have to agree before a run is taken for gone or for ended."""
_MAX_READINGS = 10
_WAITS = ("awaiting-recovery", "awaiting-recovery-paused", "awaiting-recovery-blocked-by-open-door")
_DOOR = ("blocked-by-open-door", "awaiting-recovery-blocked-by-open-door")


class NotPlayed(NeedsOperator):
    """It is certain that nothing moved; the text says why."""


class Runs:
    """The runs of a robot, for one key at a time."""

    def __init__(self, api: OpentronsApi, intents: Intents, *, is_flex: bool) -> None:
        self._api, self._intents, self._is_flex = api, intents, is_flex
        self._pace = api.pace
        self.trouble = ""
        """Why a run cannot be followed just now, for people; "" while it can."""

    def require_free(self, until: Deadline) -> None:
        """See that nobody else has the robot, whether it moves or not: a new run would replace an idle one silently.

        A run that has ended has nobody: the robot keeps its record, and it is replaced.

        Raises:
            NeedsOperator: the current run is not ours, or one of ours is under way.
            WireError: the robot does not say.
        """
        found = self._list(until)
        current = next((run for run in found.runs if run.id == found.current), None)
        if current is None or current.is_ended:
            return
        if current.protocol_id not in self._intents.protocols():
            raise NeedsOperator(
                f"the robot has run {current.id} ({current.status}) of somebody else; close it in the Opentrons App"
            )
        if current.was_played:
            raise NeedsOperator(f"the robot is busy with run {current.id} ({current.status}) of this lab")

    def of(self, protocol_id: str, until: Deadline) -> list[Run]:
        """Return the runs of a protocol, oldest first as the robot lists them."""
        return [run for run in self._list(until).runs if run.protocol_id == protocol_id]

    def settled(self, protocol_id: str, until: Deadline) -> list[Run]:
        """Return the runs of a protocol once requests on their way have arrived: twice the same, and a while apart."""
        before = self.of(protocol_id, until)
        for _ in range(_MAX_READINGS):
            if any(run.was_played for run in before):
                return before
            until.pause(self._pace.settle_s)
            now = self.of(protocol_id, until)
            if now == before:
                return now
            before = now
        raise Garbled(f"the robot tells something else each time of the runs of protocol {protocol_id}")

    def made(self, key: str, wish: RunWish, until: Deadline) -> Run:
        """Return the run of a protocol: the one that is there, or a new one.

        Raises:
            DeviceError: there is none; nothing moved.
        """
        protocol_id = wish.protocol_id
        if there := self._usable(
            self.settled(protocol_id, until) if self._intents.of(key) else self.of(protocol_id, until)
        ):
            return there
        for n in range(1, _TRIES + 1):
            self.require_free(until)
            self._intents.note(Intent(key, protocol_id))
            try:
                return self._api.create(wish, until)
            except WireError:
                # it may have been made
                if there := self._usable(self.settled(protocol_id, until)):
                    return there
                if n == _TRIES:
                    raise
        raise AssertionError("unreachable")

    def _usable(self, runs: list[Run]) -> Run | None:
        """Return the run that was played, else one that can be."""
        played = [run for run in runs if run.was_played]
        if len(played) > 1:
            raise NeedsOperator(f"runs {', '.join(run.id for run in played)} of one key were played; look at the deck")
        free = [run for run in runs if run.status == IDLE and run.is_current and run.is_ok]
        return next(iter(played or free), None)

    def made_ready(self, run: Run, until: Deadline) -> None:
        """Have a Flex fail rather than wait for a person (facts: the default waits for ever).

        Raises:
            DeviceError: it could not be told; nothing moved.
        """
        # facts: first match wins, and no rule matches what no rule names; `_followed` sees to that
        if self._is_flex:
            self._api.patiently(lambda end: self._api.set_policy(run.id, policy(), end), until)

    def play(self, key: str, run: Run, until: Deadline) -> None:
        """Start a run that was never started.

        Raises:
            NotPlayed: it is certain that nothing moved.
            WireError: it may move.
        """
        self._intents.note(Intent(key, run.protocol_id, run.id, is_playing=True))
        trouble = self._not_idle(run.id, until)
        for _ in range(_TRIES):
            if trouble:
                break
            try:
                self._api.act(run.id, "play", until)
            except (WireError, Refused) as error:
                if self._read_settled(run.id, until).was_played:
                    return
                said = words.refusal(error.answer.body) if isinstance(error, Refused) else ""
                trouble = f"the robot did not start: {said}" if said else ""
                last = error
            else:
                return
        raise NotPlayed(trouble or f"run {run.id} could not be started: {last}")

    def _not_idle(self, run_id: str, until: Deadline) -> str:
        """Say why a run cannot be played; empty: it can.

        Raises:
            NotPlayed: the robot does not say how it stands; play was not sent.
        """
        try:
            now = self._read(run_id, until)
        except (WireError, Refused) as error:
            raise NotPlayed(str(error)) from error
        if now.status == IDLE and now.is_current and now.is_ok and not now.was_played:
            return ""
        return f"run {run_id} is {now.status[:40]!a}{'' if now.is_current else ', and closed'}, not idle"

    def _read_settled(self, run_id: str, until: Deadline) -> Run:
        """Return a run once a play on its way has arrived."""
        now = self._read(run_id, until)
        for _ in range(_SURE):
            if now.was_played:
                break
            until.pause(self._pace.settle_s)
            now = self._read(run_id, until)
        return now

    def _read(self, run_id: str, until: Deadline) -> Run:
        """Ask for a run for as long as a robot may be lost; one that says there is none is asked again."""
        return self._api.patiently(lambda end: self._api.run(run_id, end), until, self._pace.lost_s)

    def stands(self, intent: Intent, until: Deadline) -> Run | None:
        """Return the run that play was sent to, perhaps; None: it is gone.

        Raises:
            WireError: the robot does not say.
        """
        for _ in range(_SURE):
            try:
                return self._read_settled(intent.run_id, until)
            except Refused as error:
                if error.answer.status != 404:
                    raise
            until.pause(self._pace.settle_s)
        return None

    def ended(self, run_id: str, load: DeckLoad, until: Deadline) -> Report:
        """Follow a run that was played to its end, and say what it did.

        Raises:
            WireError: the robot was silent for too long.
        """
        try:
            run = self._followed(run_id, until)
        finally:
            self.trouble = ""
        if run is None:
            words_ = f"run {run_id} is gone from the robot; was it restarted? Look at the deck"
            return Report(Status.UNKNOWN, message=words_)
        if not run.is_ended:
            return Report(
                Status.UNKNOWN, message=f"run {run_id} is {run.status[:60]!a} and does not end; look at the robot"
            )
        report = self._told(run_id, load, until)
        self.close(run_id, until)
        return report

    def _followed(self, run_id: str, until: Deadline) -> Run | None:
        """Poll until a run has ended, has no record any more (None), or does not end in time."""
        over, heard_by = until.within(self._pace.load_s), until.within(self._pace.lost_s)
        stop_by: Deadline | None = None
        n_gone = 0
        while True:
            try:
                run = self._api.run(run_id, until)
                is_gone = not run.is_ended and (not run.was_played or not run.is_current or not run.is_ok)
            except (WireError, Refused) as error:
                is_gone = isinstance(error, Refused) and error.answer.status == 404
                if not is_gone and (heard_by.is_over or until.is_over):
                    raise
                if not is_gone:
                    left_s = min(heard_by.left_s(), until.left_s())
                    self.trouble = f"{error}; run {run_id} goes on or not, and is asked for {left_s:.0f} s more"
                    until.pause(self._pace.poll_s)
                    continue
            self.trouble = ""
            heard_by = until.within(self._pace.lost_s)
            n_gone = n_gone + 1 if is_gone else 0
            if n_gone >= _SURE:
                return None
            if not is_gone:
                if run.is_ended or (stop_by is not None and stop_by.is_over) or until.is_over:
                    return run
                if stop_by is None and (run.status in _WAITS or over.is_over):
                    stop_by = self._stop(run, until)
            until.pause(self._pace.poll_s)

    def _stop(self, run: Run, until: Deadline) -> Deadline:
        """Stop a run that nobody is there for, once; a robot with its door open is left to whoever opened it."""
        stop_by = until.renewed(self._pace.stop_s)
        if run.status not in _DOOR:
            with suppress(WireError, Refused):  # the run's status tells whether it stops
                self._api.act(run.id, "stop", until)
        return stop_by

    def _told(self, run_id: str, load: DeckLoad, until: Deadline) -> Report:
        """Read run and commands until two readings agree: what is noise on the wire is not what happened."""
        end = until.renewed(2 * self._pace.patience_s)
        before: Report | None = None
        for _ in range(_MAX_READINGS):
            try:
                run = self._api.patiently(lambda e: self._api.run(run_id, e), end)
                report = report_of(run, self._api.commands(run_id, end), load)
            except Garbled:
                continue
            if report == before:
                return report
            before = report
        raise Garbled(f"the robot tells something else each time of run {run_id}")

    def close(self, run_id: str, until: Deadline) -> None:
        """Give the robot back to everybody; how the run ended does not depend on it."""
        end = until.renewed(self._pace.patience_s)
        for _ in range(_MAX_READINGS):
            try:
                if not self._api.run(run_id, end).is_current:
                    return
                self._api.close_run(run_id, end)
            except Refused as error:
                if "RunNotIdle" not in words.refusal_ids(error.answer.body):
                    return
            except WireError:
                pass
            if end.is_over:
                return
            end.pause(min(self._pace.poll_s, 0.2))

    def _list(self, until: Deadline) -> words.RunList:
        """Ask for all runs until two answers agree."""

        def twice(end: Deadline) -> words.RunList:
            first, second = self._api.runs(end), self._api.runs(end)
            if _steady(first) != _steady(second):
                raise Garbled("the robot tells of other runs each time")
            return second

        return self._api.patiently(twice, until)


def _steady(found: words.RunList) -> tuple[object, ...]:
    """Return what does not change while a run goes on."""
    return found.current, tuple(replace(run, status="", trouble="") for run in found.runs)
