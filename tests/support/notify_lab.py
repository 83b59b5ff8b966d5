"""Journals to tell of, and a post room with a table in memory and a courier that a test commands."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from controller.notify.channels import Channel
from controller.notify.courier import Parcel, Sent
from controller.notify.post import Post
from controller.notify.rules import Rules
from controller.notify.words import House
from controller.settings import Settings
from controller.store import Event
from nextplate.errors import StoreError

START = datetime(2026, 1, 5, 22, tzinfo=UTC)
SETTINGS = json.loads(Settings().model_dump_json(exclude={"lab", "sim", "notifications"}))


@dataclass
class Diary:
    """Writes events as a journal would, at times a test names in minutes."""

    events: list[Event] = field(default_factory=list)
    campaign: str = "first"

    def add(self, minute: float, event: str, /, **payload: Any) -> "Diary":
        seq = len(self.events) + 1
        digest = hashlib.sha256(f"{seq}{event}{payload}".encode()).hexdigest()
        time = START + timedelta(minutes=minute)
        self.events.append(Event(seq, time, event, self.campaign, payload, "", digest))
        return self

    def begin(self, minute: float = 0) -> "Diary":
        body = {"name": self.campaign, "seed": 1, "rounds": 2, "library": "L", "settings": SETTINGS}
        return self.add(minute, "campaign.started", **body)

    def compute(self, minute: float, key: str, task: str, number: int = 0, **params: Any) -> "Diary":
        action = {"step": task, "inputs": {}, "params": params}
        return self.add(minute, "intent", key=key, task=task, round=number, action=action)

    def operate(self, minute: float, key: str, task: str, number: int = 0, **command: Any) -> "Diary":
        action = {"device": "liquid-handler", "command": {"verb": "run-load", **command}}
        return self.add(minute, "intent", key=key, task=task, round=number, action=action)

    def end(self, minute: float, key: str, status: str = "done", **result: Any) -> "Diary":
        return self.add(minute, "outcome", key=key, status=status, result=result, message="")

    def fault(
        self, minute: float, key: str, question: str = "what now", choices: Sequence[str] = ("retry",)
    ) -> "Diary":
        return self.add(minute, "fault", fault=key, key=key, question=question, choices=list(choices))

    def answer(self, minute: float, key: str, choice: str = "retry", by: str = "ann") -> "Diary":
        return self.add(minute, "decision", what="answer", fault=key, choice=choice, by=by)

    def decide(self, minute: float, what: str, **more: Any) -> "Diary":
        return self.add(minute, "decision", what=what, by="ann", **more)


def at(minute: float) -> datetime:
    """Return a time."""
    return START + timedelta(minutes=minute)


@dataclass
class Books:
    """The journal and the table in memory; ``is_down``: the database is gone."""

    diary: Diary
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_down: bool = False
    n_visible: int | None = None
    """How many events can be read; None: all."""

    def events(self, after_seq: int = 0) -> Iterator[Event]:
        self._ask()
        yield from self.diary.events[after_seq : self.n_visible]

    def select(
        self, table: str, where: Mapping[str, Any] | None = None, order_by: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        self._ask()
        assert table == "notices"
        return [dict(row) for row in self.rows.values()]

    def keep_notices(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._ask()
        for row in rows:
            self.rows[row["id"]] = dict(row)

    def _ask(self) -> None:
        if self.is_down:
            raise StoreError("the database is gone")


@dataclass
class FakeSending:
    """A parcel that arrives when it is looked after, unless its channel is broken."""

    answer: Sent | None

    def result(self) -> Sent | None:
        return self.answer

    def stop(self) -> None:
        """Nothing to kill."""


@dataclass
class FakeCourier:
    """Delivers to ``got``; ``broken`` channels say why not, ``hanging`` ones nothing; ``refused`` titles go nowhere."""

    got: list[tuple[str, Parcel]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    refused: str | None = None

    def send(self, parcel: Parcel, channel: Channel) -> FakeSending:
        if channel.name in self.broken:
            return FakeSending(Sent(False, self.broken[channel.name]))
        if channel.name in self.hanging:
            return FakeSending(None)
        if self.refused is not None and self.refused in parcel.title:
            return FakeSending(Sent(False, "552 message too large"))
        self.got.append((channel.name, parcel))
        return FakeSending(Sent(True, ""))

    def ids(self) -> list[str]:
        return [parcel.id for _, parcel in self.got]


def make_post(books: Books, courier: FakeCourier, rules: Rules, *, short: Sequence[str] = ()) -> Post:
    """Open a post room as a new process would."""
    names = {c for channels in rules.tell.values() for c in channels} | {c for _, step in rules.steps for c in step}

    def opener(name: str) -> Any:
        return lambda: Channel(name, f"json://{name}", name in short, 5.0)

    channels = {name: opener(name) for name in sorted(names)}
    return Post(books, courier, channels, rules, House("lab1", Path("/labs/one")), timedelta(hours=24))
