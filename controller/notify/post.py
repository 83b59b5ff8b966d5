"""The post room: finds what is due, keeps it in the table of notices, hands it to the courier, marks what went out."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from controller.notify.channels import Channel
from controller.notify.courier import Courier, Parcel, Sending
from controller.notify.matters import Desk, Matter, forget, hear
from controller.notify.plain import plain, sms
from controller.notify.rules import Due, Rules, due, following
from controller.notify.words import Content, House, compose, repeated
from controller.settings import MessageKind
from controller.state import LabState, fold
from controller.store.journal import Event
from nextplate.errors import NextplateError, SettingsError

JSON = Mapping[str, Any]
STALE = timedelta(hours=24)
"""What was due so long before a process started, and never put down, is news to nobody; open questions still are."""
_CHUNK = 20_000
_FIRST_RETRY_S = 15.0
_LAST_RETRY_S = 900.0
_ASIDE = 3
"""After so many tries a message lets those behind it go first: maybe it is refused, and not the channel dead."""
_REFUSED = "refused"
"""Subject of a word about a message that was refused: refused itself, it is told no further."""


class Books(Protocol):
    """What the post room needs of the store."""

    def events(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the journal's events."""

    def select(
        self, table: str, where: Mapping[str, Any] | None = None, order_by: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return the rows of a table."""

    def keep_notices(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows of the table of notices."""


@dataclass(frozen=True, slots=True)
class Word:
    """Something to tell that is in no journal."""

    kind: MessageKind
    when: datetime
    text: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """A row of the table: a message, and how far it got."""

    id: str
    event_seq: int | None
    """None: it tells of nothing in the journal."""
    kind: str
    subject: str
    step: int
    channel: str
    due_at: str
    content: str
    """JSON of a Content."""
    state: str
    """waiting, sending, sent or given-up."""
    attempts: int
    kept_at: str
    told_at: str | None
    error: str

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more is done about it."""
        return self.state in ("sent", "given-up")


@dataclass(slots=True)
class _Lane:
    """One channel: one message at a time, so that they arrive in order, and a pause after a failure.

    A message that failed often is set aside: it has a pause of its own, and holds up none behind it.
    """

    sending: Sending | None = None
    notice: str = ""
    """Id of what is on its way."""
    n_failures: int = 0
    """Since the last message that went through."""
    not_before: float = 0.0
    aside: dict[str, float] = field(default_factory=dict)
    """Ids of what was set aside, and when each is tried again."""

    def wait_s(self, notice: Notice, monotonic: float) -> float:
        """Return how long a message waits for itself or for the channel; 0: it may go."""
        until = self.aside.get(notice.id, 0.0) if notice.attempts >= _ASIDE else self.not_before
        return max(0.0, until - monotonic)


@dataclass(slots=True)
class Post:
    """Moves notices. `turn` never waits for anybody but the database."""

    books: Books
    courier: Courier
    channels: Mapping[str, Callable[[], Channel]]
    """Open a channel by name; raises SettingsError."""
    rules: Rules
    house: House
    give_up: timedelta
    words: deque[Word] = field(default_factory=deque)
    """What others than the journal have to tell; they append, `turn` takes."""
    desk: Desk = field(default_factory=Desk)
    _state: LabState = field(default_factory=LabState)
    _unfolded: list[Event] = field(default_factory=list)
    _notices: dict[str, Notice] = field(default_factory=dict)
    """Those not over, by id."""
    _over: set[str] = field(default_factory=set)
    _unsaved: dict[str, Notice] = field(default_factory=dict)
    _lanes: dict[str, _Lane] = field(default_factory=dict)
    _floor: datetime | None = None
    _has_begun: bool = False

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing waits to be sent or to be put down."""
        return not self._notices and not self._unsaved and not self.words

    @property
    def is_sending(self) -> bool:
        """Tell whether a message is on its way."""
        return any(lane.sending for lane in self._lanes.values())

    @property
    def depth(self) -> int:
        """Return how many messages have not gone out."""
        return len(self._notices)

    def is_resting(self, monotonic: float) -> bool:
        """Tell whether nothing is on its way and nothing can go now: all is sent, or waits after a failure."""
        return not self.is_sending and not self._unsaved and not self.words and not any(self._ready(monotonic))

    def read(self) -> None:
        """Hear what is new in the journal; on the first call also what earlier processes put down.

        Raises:
            StoreError: the database cannot be read.
        """
        if not self._has_begun:
            self._take_up()  # first: a message is new only to who knows what was sent
        news = self.books.events(self.desk.seq)
        while chunk := list(islice(news, _CHUNK)):
            self.desk = forget(hear(self.desk, chunk))
            self._unfolded += chunk
            if len(self._unfolded) >= _CHUNK:  # a long journal is not held in memory
                self._fold()

    def turn(self, now: datetime, wall: datetime, monotonic: float) -> None:
        """Put down what is due by the lab's time `now`, look after what is on its way, send what can be sent.

        Raises:
            StoreError, DiskFull: the table cannot be written; what could be sent was sent all the same.
        """
        if self._floor is None and self.desk.seq:
            self._floor = now - STALE
        for item in due(self.desk, now, self.rules, self._floor):
            if item.id not in self._notices and item.id not in self._over:
                self._put(self._written(item, wall))
        self._take_words(wall)
        for lane in self._lanes.values():
            self._look_after(lane, wall, monotonic)
        self._drop_unknown()
        ready = [replace(n, state="sending", attempts=n.attempts + 1) for n in self._ready(monotonic)]
        for notice in ready:
            self._put(notice)
        trouble = self._save()  # before anything goes out: a process killed now must know that it may have gone
        for notice in ready:
            self._send(notice, wall, monotonic)
        if trouble is not None:
            raise trouble

    def stop(self) -> None:
        """End what is on its way; the next process sends it again and says so."""
        for lane in self._lanes.values():
            if lane.sending:
                lane.sending.stop()
                lane.sending = None

    def _take_up(self) -> None:
        for row in self.books.select("notices"):
            notice = Notice(**row)
            if notice.is_over:
                self._over.add(notice.id)
            else:
                self._notices[notice.id] = replace(notice, state="waiting")
        self._has_begun = True

    def _put(self, notice: Notice) -> None:
        if notice.is_over:
            self._over.add(notice.id)
            self._notices.pop(notice.id, None)
        else:
            self._notices[notice.id] = notice
        self._unsaved[notice.id] = notice

    def _save(self) -> NextplateError | None:
        """Write what has changed; return why it could not be, which keeps no message from going out."""
        try:
            if self._unsaved:
                self.books.keep_notices([asdict(n) for n in self._unsaved.values()])
                self._unsaved.clear()
        except NextplateError as error:
            return error
        return None

    def _drop_unknown(self) -> None:
        """Give up what was meant for a channel that was taken out of lab.toml."""
        for notice in [n for n in self._notices.values() if n.channel not in self.channels]:
            why = f"channel {notice.channel!r} is no longer in lab.toml"
            self._put(replace(notice, state="given-up", error=why))

    def _written(self, item: Due, wall: datetime) -> Notice:
        content = {**self._content(item).as_json(), "id": item.id}
        m = item.matter
        return Notice(
            item.id, m.seq, m.kind, m.subject, item.step, item.channel, item.at.isoformat(),
            json.dumps(content), "waiting", 0, wall.isoformat(), None, "",
        )  # fmt: skip

    def _take_words(self, wall: datetime) -> None:
        while self.words:
            word = self.words.popleft()
            for channel in self.rules.tell[word.kind]:
                notice = _spoken(word, channel, self.house, wall)
                if notice.id not in self._notices and notice.id not in self._over:
                    self._put(notice)

    def _fold(self) -> None:
        unfolded, self._unfolded = self._unfolded, []
        self._state = fold(unfolded, self._state)

    def _content(self, item: Due) -> Content:
        """Write a message; what cannot be told in full is told in short, for it must be told."""
        try:
            self._fold()
            return compose(item, self._state, self.house, following(item, self.rules))
        except (LookupError, TypeError, ValueError, NextplateError) as error:
            m, house = item.matter, self.house
            title = f"nextplate {house.name}: {m.kind} {plain(m.subject, 80)}"
            told = f"message {item.id}; {type(error).__name__}: {plain(error)}"
            body = f"See: nextplate status --lab {plain(house.folder)}\nevent {m.seq}; {told}"
            return Content(title, body, sms(title, "", f"({item.id})"))

    def _ready(self, monotonic: float) -> Iterator[Notice]:
        """Yield the next message of every channel that can take one."""

        def turn(n: Notice) -> tuple[Any, ...]:
            return (n.attempts >= _ASIDE, n.due_at, n.event_seq or 0, n.step, n.id)

        waiting = sorted(self._notices.values(), key=turn)
        for name in dict.fromkeys(n.channel for n in waiting):
            lane = self._lanes.setdefault(name, _Lane())
            if lane.sending is None:
                mine = (n for n in waiting if n.channel == name and not lane.wait_s(n, monotonic))
                yield from islice(mine, 1)

    def _send(self, notice: Notice, wall: datetime, monotonic: float) -> None:
        lane = self._lanes[notice.channel]
        try:
            channel = self.channels[notice.channel]()
            lane.sending = self.courier.send(self._parcel(notice, channel), channel)
            lane.notice = notice.id
        except (SettingsError, OSError) as error:
            self._failed(lane, notice, str(error), wall, monotonic)

    def _parcel(self, notice: Notice, channel: Channel) -> Parcel:
        content = json.loads(notice.content)
        matter = next((m for m in self.desk.matters if m.seq == notice.event_seq), None)
        body, short = repeated(content, notice.attempts, _settled(matter))
        if channel.is_short:
            return Parcel(notice.id, notice.attempts, "", short, None)
        return Parcel(notice.id, notice.attempts, content["title"], body, content["plate"])

    def _look_after(self, lane: _Lane, wall: datetime, monotonic: float) -> None:
        result = lane.sending.result() if lane.sending else None
        if result is None:
            return
        lane.sending = None
        notice = self._notices[lane.notice]
        if result.is_ok:
            if lane.n_failures:  # the channel was dead and is not: what was set aside has its turn
                lane.aside.clear()
            lane.n_failures, lane.not_before = 0, 0.0
            self._put(replace(notice, state="sent", told_at=wall.isoformat(), error=""))
        else:
            self._failed(lane, notice, result.said, wall, monotonic)

    def _failed(self, lane: _Lane, notice: Notice, why: str, wall: datetime, monotonic: float) -> None:
        if notice.attempts > _ASIDE:  # alone: the channel goes on
            if not lane.n_failures and notice.subject != _REFUSED:
                self.words.append(_refused(notice))
        else:
            lane.n_failures += 1
            lane.not_before = monotonic + _pause_s(lane.n_failures)
        lane.aside[notice.id] = monotonic + _pause_s(notice.attempts)
        is_hopeless = wall - datetime.fromisoformat(notice.kept_at) >= self.give_up
        self._put(replace(notice, state="given-up" if is_hopeless else "waiting", error=why))


def _pause_s(n_failures: int) -> float:
    return float(min(_LAST_RETRY_S, _FIRST_RETRY_S * 2 ** min(n_failures - 1, 10)))


def _refused(notice: Notice) -> Word:
    """Tell of a message that its channel does not take, while it takes others; the same word at every try."""
    kind: MessageKind = notice.kind  # type: ignore[assignment]  # as it was written, of a MessageKind
    where = f"message {notice.id} ({notice.kind}) was refused by channel {notice.channel}, which takes others"
    text = f"{where}; read it: nextplate notify show, nextplate status"
    return Word(kind, datetime.fromisoformat(notice.due_at), text, _REFUSED)


def _spoken(word: Word, channel: str, house: House, wall: datetime) -> Notice:
    name = hashlib.sha256(f"{word.kind}|{word.when.isoformat()}|{word.text}|{channel}".encode()).hexdigest()[:12]
    title, text = f"nextplate {house.name}: {plain(word.text, 80)}", plain(word.text, 1000)
    body = f"{text}\nWhen: {word.when:%Y-%m-%d %H:%M} UTC\n\nlab {house.name}, {plain(house.folder)}; message {name}"
    content = {**Content(title, body, sms(f"{house.name}:", text, f"({name})")).as_json(), "id": name}
    return Notice(
        name, None, word.kind, word.subject, 0, channel, word.when.isoformat(),
        json.dumps(content), "waiting", 0, wall.isoformat(), None, "",
    )  # fmt: skip


def _settled(matter: Matter | None) -> str:
    return matter.settled if matter is not None and matter.settled_at is not None else ""
