"""Which folder is the readout of a plate, and may it be taken: what the watched folder sees at one look.

A folder belongs to a barcode when, in this order: the file ``barcode.txt`` in it holds the barcode; the option
``barcode_pattern`` finds it in the folder's name; the name holds it as a whole word (``NP-1_2026-01-05``, not
``NP-10``), in any case of letters; or the microscope's own description names the plate so. The last is asked only of
folders that came after the request.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from drivers.watched_memory import Awaited
from drivers.watched_options import WatchOptions
from nextplate.imaging.watch import Inventory, Stand, inspect_plate, plate_folders, take_inventory

_TOLD = "barcode.txt"
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
"""What Windows does not allow in names; software puts ``_`` in its place."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A folder that may be the readout that is awaited."""

    name: str
    """Below the watched folder, with '/'."""
    stand: Stand
    rested_s: float
    """How long nothing in it has changed, as far as was seen."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do after a look."""

    take: Candidate | None = None
    question: str = ""
    """For a person; empty when nothing needs one."""
    reasons: tuple[str, ...] = ()
    """Why nothing is taken yet."""
    is_moving: bool = False
    """True: something is there that has not rested long enough to be judged."""


@dataclass(slots=True)
class Eye:
    """Looks at the watched folder; remembers what it saw, so that it can tell what rests. One thread at a time."""

    options: WatchOptions
    monotonic: Callable[[], float]
    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Digest of a folder's inventory, and since when it has been that."""
    _stands: dict[str, tuple[Stand, bool]] = field(default_factory=dict)
    """How a folder that rests stands, and whether its images were looked into."""

    def snapshot(self, barcode: str) -> dict[str, int]:
        """Return what lies there before a request; an empty folder does not count.

        Raises:
            OSError: the share cannot be read.
        """
        found: dict[str, int] = {}
        for name in self._names():
            if not belongs(self.options, name, barcode):
                if any((self.options.watch / name).iterdir()):
                    found[name] = 0
            elif (inventory := take_inventory(self.options.watch / name)).n_files:
                found[name] = inventory.newest_ns
        return found

    def look(self, awaited: Awaited, word: str) -> Verdict:
        """Look for the readout of a plate; `word` is the name of a folder that a person gave, else ''.

        Raises:
            OSError: the share cannot be read.
        """
        names = self._names()
        if word:
            if word not in names:
                return Verdict(question=f"a person named the folder {word!a}, which is not in {self.options.watch}")
            return self._judge([self._candidate(word)], is_named=True)
        meant = [self._candidate(name) for name in names if self._is_meant(name, awaited)]
        found = [c for c in meant if c.stand.state != "empty" and self._is_new(c, awaited)]
        return self._judge(_outermost(found))

    def has_changed(self, name: str, then: Inventory) -> Inventory | None:
        """Return the inventory of a folder taken before when it is not what it was; None when it is, or is gone."""
        try:
            now = take_inventory(self.options.watch / name)
        except OSError:
            return None
        return now if now.digest != then.digest else None

    def _names(self) -> list[str]:
        return list(plate_folders(self.options.watch, self.options.depth))

    def _is_meant(self, name: str, awaited: Awaited) -> bool:
        if awaited.before.get(name) == 0:
            return False
        if belongs(self.options, name, awaited.barcode):
            return True
        if name in awaited.before or self.options.barcode_pattern or _told_barcode(self.options.watch / name):
            return False
        plate = self._candidate(name).stand.plate
        return plate is not None and _holds(plate, awaited.barcode)

    def _is_new(self, candidate: Candidate, awaited: Awaited) -> bool:
        newest_before = awaited.before.get(candidate.name)
        if newest_before is None or self.options.takes_older:
            return True
        # The name is old, but the folder was written anew as a whole: it is another readout.
        return bool(newest_before) and candidate.stand.inventory.oldest_ns > newest_before

    def _candidate(self, name: str) -> Candidate:
        folder, now = self.options.watch / name, self.monotonic()
        inventory = take_inventory(folder)
        digest, since = self._seen.get(name, ("", now))
        if digest != inventory.digest:
            since = now
            self._stands.pop(name, None)
        self._seen[name] = inventory.digest, since
        rested_s = now - since
        if rested_s == 0.0:
            return Candidate(name, _growing(folder, inventory), 0.0)
        is_due = rested_s >= self.options.settle_s
        stand, is_thorough = self._stands.get(name, (None, False))
        if stand is None or (is_due and not is_thorough):
            stand = self._inspect(folder, is_thorough=is_due)
            if stand.inventory.digest != inventory.digest:  # it was written between the two
                del self._seen[name]
                return Candidate(name, _growing(folder, stand.inventory), 0.0)
            self._stands[name] = stand, is_due
        return Candidate(name, stand, rested_s)

    def _inspect(self, folder: Path, *, is_thorough: bool) -> Stand:
        o = self.options
        return inspect_plate(folder, o.due, reader=o.reader, pattern=o.pattern, is_thorough=is_thorough)

    def _judge(self, found: list[Candidate], *, is_named: bool = False) -> Verdict:
        if not found:
            return Verdict(reasons=("no folder of this plate is there",))
        moving = [c for c in found if c.rested_s < self._due_rest(c)]
        ready = [c for c in found if self._is_ready(c) or (is_named and c.rested_s >= self.options.patience_s)]
        if moving or not ready:
            return Verdict(reasons=tuple(_said(found, self.options)), is_moving=bool(moving))
        if len(ready) > 1 and not self.options.takes_newest:
            return Verdict(question=f"{len(ready)} folders hold a whole readout of this plate: {_named(ready)}")
        return Verdict(take=max(ready, key=lambda c: (c.stand.inventory.newest_ns, c.name)))

    def _due_rest(self, candidate: Candidate) -> float:
        stand = candidate.stand
        is_clear = stand.state == "whole" and not stand.doubts
        return self.options.settle_s if is_clear else self.options.patience_s

    def _is_ready(self, candidate: Candidate) -> bool:
        is_usable = candidate.stand.state == "whole" or (
            self.options.takes_incomplete and candidate.stand.reader is not None and candidate.stand.n_images > 0
        )
        return is_usable and candidate.rested_s >= self._due_rest(candidate)


def _outermost(found: list[Candidate]) -> list[Candidate]:
    """Of folders that lie in each other keep the outermost that a reader takes."""
    read = {c.name for c in found if c.stand.reader is not None}
    names = {c.name for c in found}
    return [
        c
        for c in found
        if not any(c.name.startswith(f"{name}/") for name in read)
        and (c.stand.reader is not None or not any(name.startswith(f"{c.name}/") for name in names))
    ]


def _growing(folder: Path, inventory: Inventory) -> Stand:
    if not inventory.n_files:
        return Stand(folder, "empty", ("it holds no file yet",), None, None, 0, inventory)
    return Stand(folder, "writing", ("it is new or still changes",), None, None, 0, inventory)


def belongs(options: WatchOptions, name: str, barcode: str) -> bool:
    """Say whether a folder is a plate's by what is written in or on it."""
    told = _told_barcode(options.watch / name)
    if told is not None:
        return _plain(told) == _plain(barcode)
    if options.barcode_pattern is not None:
        match = options.barcode_pattern.fullmatch(name)
        return match is not None and _plain(match["barcode"] or "") == _plain(barcode)
    return _holds(name, barcode)


def _told_barcode(folder: Path) -> str | None:
    try:
        with (folder / _TOLD).open("rb") as file:
            return file.read(400).decode("utf-8-sig", "replace").strip()
    except FileNotFoundError:
        return None


def _holds(text: str, barcode: str) -> bool:
    """Say whether a text holds a barcode as a whole word."""
    spellings = {_plain(barcode), _plain(_NOT_IN_NAMES.sub("_", barcode))}
    return any(re.search(rf"(?<![^\W_]){re.escape(s)}(?![^\W_])", _plain(text)) for s in spellings if s)


def _plain(text: str) -> str:
    # A Mac writes umlauts as two characters, Windows as one; people type barcodes in any case.
    return unicodedata.normalize("NFC", text).casefold().strip()


def _named(candidates: Iterable[Candidate]) -> str:
    return ", ".join(f"{c.name} ({c.stand.n_images} images)" for c in candidates)


def _said(candidates: Iterable[Candidate], options: WatchOptions) -> Iterable[str]:
    for c in candidates:
        reasons = c.stand.reasons or c.stand.doubts or ("it is whole but has not rested long enough",)
        waits = f"nothing changed for {c.rested_s:.0f} of {options.settle_s:.0f} s"
        yield f"{c.name}: {'; '.join(reasons)} ({waits})"
