"""Hamilton trace (.trc): what a Venus method logged, line by line.

No vendor's sample was at hand, so nothing here is verified on a robot: the shape of lines is what users show in
forums, and every pattern is configuration. A line is ``time> device : step - state; details``; a completed aspirate or
dispense names for each channel labware, position and microlitres. What a trace does not show to be complete is never
taken for done.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from nextplate.errors import DataError
from protocols.labware import LABWARE
from protocols.model import DeckLoad, Transfer
from protocols.volumes import WellKey
from protocols.worklists.account import Account, Fate, Happened, account_of
from protocols.worklists.columns import unspelled
from protocols.worklists.names import Names
from protocols.worklists.picks import number
from protocols.worklists.tables import text_of

_MAX_LINE = 10_000


@dataclass(frozen=True, slots=True)
class TraceForm:
    """How the traces of one method look; patterns are regular expressions of Python."""

    line: str = (
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?> [^:;]{0,80} ?: "
        r"(?P<step>[^;]{1,200}) - (?P<state>[a-z]{1,20})(?:; ?(?P<rest>.*))?"
    )
    aspirate: str = "aspirate"
    """In the name of a step that draws; case is ignored, here and in the words below."""
    dispense: str = "dispense"
    end: str = "end method"
    """In the name of the step whose completion proves that the trace is whole."""
    abort: str = "abort"
    """In the name of a step, or a line's state, that says the method ended early."""
    channel: str = (
        r"channel (?P<channel>\d{1,3}): (?P<plate>[^,;]{1,200}), (?P<well>[^,;]{1,20}), (?P<volume>[0-9.]{1,20}) ?uL"
    )
    well: str = "A1"
    """One of protocols.worklists.columns.WELLS."""
    encoding: str = "utf-8"

    def folded(self) -> "TraceForm":
        """Return it with its words as they are compared: in small letters."""
        words = {name: getattr(self, name).casefold() for name in _WORDS}
        return replace(self, **words)


_WORDS = ("aspirate", "dispense", "end", "abort")


def read_trace_form(body: Mapping[str, str]) -> TraceForm:
    """Read the ``[trace]`` table of a settings file.

    Raises:
        DataError: a word is empty, which every step would have in its name, or one is in another.
    """
    form = replace(TraceForm(), **body)
    words = [word.strip() for word in (form.aspirate.casefold(), form.dispense.casefold())]
    if not all(getattr(form, name).strip() for name in _WORDS) or words[0] in words[1] or words[1] in words[0]:
        raise DataError(f"trace: {', '.join(_WORDS)} are words of which none is empty, and the first two differ")
    return form


@dataclass(frozen=True, slots=True)
class _Held:
    source: WellKey
    volume_nl: Decimal


def read_hamilton_trace(raw: bytes, load: DeckLoad, names: Names, form: TraceForm | None = None) -> Account:
    """Read a trace.

    Args:
        raw: the file.
        load: that was run.
        names: labels of its work list.
        form: how traces look.

    Raises:
        DataError: no trace, cut, or liquid moved otherwise than planned; names the line.
    """
    form = (form or TraceForm()).folded()
    text = text_of(raw, form.encoding)
    if not text.endswith("\n"):
        raise DataError("the last line has no end: the trace was cut")
    try:
        follower = _Follower(load, names, form, re.compile(form.line), re.compile(form.channel))
    except re.error as error:
        raise DataError(f"a pattern of the trace is no regular expression: {error}") from error
    for n, line in enumerate(text.splitlines(), 1):
        try:
            follower.take(line)
        except DataError as error:
            raise DataError(f"line {n}: {error}") from error
    return follower.ended()


@dataclass(slots=True)
class _Follower:
    """Follows liquid channel by channel."""

    load: DeckLoad
    names: Names
    form: TraceForm
    line: re.Pattern[str]
    channel: re.Pattern[str]
    labware: dict[str, str] = field(init=False)
    known: dict[str, str] = field(init=False)
    sources: set[WellKey] = field(default_factory=set)
    waiting: dict[tuple[WellKey, WellKey], list[Transfer]] = field(default_factory=dict)
    held: dict[str, _Held] = field(default_factory=dict)
    told: dict[int, Happened] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    """Liquid steps that began and did not end."""
    is_ended: bool = False
    is_aborted: bool = False
    n_liquid: int = 0
    """Steps that moved liquid, or began to."""
    is_blind: bool = False
    """A liquid step failed without naming its wells: nothing untold is certain."""
    failure: str = ""

    def __post_init__(self) -> None:
        self.labware = {item.barcode: item.labware for item in self.load.deck}
        for t in self.load.transfers:
            key = (t.source_plate, t.source_well), (t.destination_plate, t.destination_well)
            self.waiting.setdefault(key, []).append(t)
            self.sources.add(key[0])
        self.known = self.names.by_label()

    def take(self, line: str) -> None:
        """Take a line; one that is no step of the log is let pass."""
        found = self.line.fullmatch(line) if len(line) <= _MAX_LINE else None
        if found is None:
            words = line.casefold()
            if self.form.aspirate in words or self.form.dispense in words or len(line) > _MAX_LINE:
                raise DataError(f"{line!r:.80} speaks of liquid and is not as the lines of this trace are")
            return
        step, state, rest = found["step"].casefold(), found["state"], found["rest"] or ""
        if self.is_ended:
            raise DataError("something follows the end of the method: two runs are in one trace")
        if self.form.abort in step or state == "aborted":
            self.is_aborted, self.failure = True, self.failure or found["step"]
        elif self.form.end in step:
            self.is_ended = state == "complete"
        elif self.form.aspirate in step or self.form.dispense in step:
            self._liquid(step, state, rest)

    def _liquid(self, step: str, state: str, rest: str) -> None:
        self.n_liquid += 1
        if state == "start":
            self.open.append(step)
        elif state in ("complete", "error"):
            if step not in self.open:
                raise DataError(f"{step!r:.60} ends and never began: the trace was cut")
            self.open.remove(step)
            moves = [self._move(found.groupdict()) for found in self.channel.finditer(rest)]
            if len(moves) != rest.casefold().count("channel") or len({move[0] for move in moves}) < len(moves):
                raise DataError("its channels cannot be read")
            if state == "error":
                self._broken(moves, rest, is_draw=self.form.aspirate in step)
            elif not moves:
                raise DataError("it completes without a channel")
            for channel, key, volume_nl in moves if state == "complete" else ():
                (self._draw if self.form.aspirate in step else self._give)(channel, key, volume_nl)
        elif state != "progress":
            raise DataError(f"state {state!r:.20} is not known")

    def _move(self, cells: Mapping[str, str]) -> tuple[str, WellKey, Decimal]:
        label = cells["plate"].strip()
        plate = self.known.get(label, label)
        if plate not in self.labware or self.labware[plate] not in LABWARE:
            raise DataError(f"plate {label!r:.60} is not of this load: the trace is for other plates")
        shape = LABWARE[self.labware[plate]].wells_format
        well = unspelled(cells["well"], shape, self.form.well)
        return cells["channel"], (plate, well), number(cells["volume"]) * 1000

    def _draw(self, channel: str, key: WellKey, volume_nl: Decimal) -> None:
        if channel in self.held:
            raise DataError(f"channel {channel} draws twice")
        if key not in self.sources:
            raise DataError(f"{key[1]} of {key[0]} is drawn from, which was not planned")
        self.held[channel] = _Held(key, volume_nl)

    def _give(self, channel: str, key: WellKey, volume_nl: Decimal) -> None:
        held = self.held.pop(channel, None)
        if held is None:
            raise DataError(f"channel {channel} dispenses what it never drew")
        here = [t for t in self.waiting.get((held.source, key), ()) if t.transfer_id not in self.told]
        fitting = [t for t in here if t.volume_nl == held.volume_nl]
        if not fitting:
            raise DataError(f"{held.volume_nl} nl from {held.source[1]} into {key[1]} of {key[0]}: not as planned")
        t = fitting[0]
        if volume_nl == held.volume_nl:
            self.told[t.transfer_id] = Happened(t.transfer_id, Fate.DONE, volume_nl, volume_nl)
        elif volume_nl < held.volume_nl:
            reason = "less was dispensed than drawn"
            self.told[t.transfer_id] = Happened(t.transfer_id, Fate.PARTIAL, held.volume_nl, volume_nl, reason)
        else:
            raise DataError(f"channel {channel} dispenses {volume_nl} nl and drew {held.volume_nl}")

    def _broken(self, moves: list[tuple[str, WellKey, Decimal]], rest: str, *, is_draw: bool) -> None:
        self.failure = rest.strip()[:200] or "an error without words"
        # The step's other channels may have moved liquid too; where none is named, nobody knows whose they were.
        self.is_blind = self.is_blind or not moves
        for channel, key, _ in moves:
            held = self.held.pop(channel, None)
            self._doubt(key if is_draw or held is None else held.source, self.failure)

    def _doubt(self, source: WellKey, reason: str) -> None:
        for (start, _), transfers in self.waiting.items():
            for t in transfers if start == source else ():
                self.told.setdefault(t.transfer_id, Happened(t.transfer_id, Fate.UNKNOWN, reason=reason))

    def ended(self) -> Account:
        """Return the account.

        Raises:
            DataError: the method did not end in this trace.
        """
        if not self.is_ended:
            raise DataError("the method does not end in this trace: it is still running, or the file was cut")
        for held in self.held.values():
            self._doubt(held.source, "drawn, and no dispense followed")
        # A trace without any step that moves liquid may call them by other words: it proves nothing.
        if self.is_aborted and self.n_liquid and not self.is_blind and not self.open:
            for t in self.load.transfers:
                gone = Happened(t.transfer_id, Fate.NOT_BEGUN, reason="the method ended before it")
                self.told.setdefault(t.transfer_id, gone)
        return account_of(self.load, self.told, is_aborted=self.is_aborted, message=self.failure)
