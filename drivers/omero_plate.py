"""Which plate in OMERO is the readout of a barcode, and is it whole: what one look sees.

A plate belongs to a barcode when its name is exactly that, or when a key-value annotation on it says so under the key
that the options name. It is this request's readout when OMERO did not have it when the readout was asked for, and no
image of it says that it was acquired before (less `Options.slack_s`: clocks differ, and what a microscope writes has no
time zone). It is whole when it holds the wells, fields and channels that the options name, every image has its pixels
and all are alike; where the options name none, all its wells have as many fields. It is taken when it is whole and
nothing changed for `Options.settle_s`, ten times as long where the options do not name all three: whether OMERO still
imports a plate is told nowhere in the JSON API. Another run (PlateAcquisition) of an older plate is not seen.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from drivers import omero_words as words
from drivers.deadline import Deadline
from drivers.omero_line import API, OmeroLine
from nextplate.errors import NeedsOperator, Transient
from nextplate.imaging.shown import shown
from nextplate.imaging.watch import Due
from nextplate.plate import well_name

READABLE = ("uint8", "uint16")
"""Types of pixels that `nextplate.imaging` reads."""
_WELLS_A_PAGE = 50
_SHOWN = 3
_NAMED = 10
_LOOKS = 10


@dataclass(frozen=True, slots=True)
class Options:
    """How plates are known."""

    group: str = ""
    """Name or number of the OMERO group; "" for all that the user may see."""
    screen: str = ""
    """Name or number of the screen that holds the plates; "" for all plates. (A dataset never holds plates.)"""
    key: str = "Barcode"
    """Of the key-value annotation that may hold a barcode."""
    due: Due = field(default_factory=Due)
    settle_s: float = 60.0
    slack_s: float = 3600.0
    """So much before the request an image may say that it was acquired."""

    @property
    def rest_s(self) -> float:
        """How long a plate must rest before it is taken."""
        is_told = None not in (self.due.wells, self.due.n_fields, self.due.n_channels)
        return self.settle_s if is_told else 10 * self.settle_s


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """One image and its place."""

    well: str
    number: int
    """1-based position in OMERO's list of the well's fields."""
    well_id: int
    image: words.Image


@dataclass(frozen=True, slots=True)
class Content:
    """What OMERO holds of a plate."""

    plate: words.Plate
    fields: tuple[FieldOfView, ...]
    runs: tuple[int, ...]
    lacking: int
    """Images that OMERO lists and cannot describe yet."""
    empty: tuple[str, ...] = ()
    """Wells that OMERO lists without an image."""

    @property
    def digest(self) -> str:
        """Return what is another as soon as anything is."""
        return hashlib.sha256(repr((self.plate, self.fields, self.runs, self.lacking, self.empty)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Asked:
    """A readout that is awaited."""

    barcode: str
    at: datetime
    before: frozenset[int]
    """Plates that OMERO had when it was asked for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do after a look."""

    take: Content | None = None
    question: str = ""
    """For a person; "" when nothing needs one."""
    reasons: tuple[str, ...] = ()
    """Why nothing is taken yet."""


class Eye:
    """Looks into OMERO; remembers what it saw, so that it can tell what rests. One thread at a time."""

    def __init__(self, line: OmeroLine, options: Options, monotonic: Callable[[], float]) -> None:
        self._line, self._options, self._monotonic = line, options, monotonic
        self._images: dict[int, words.Image] = {}
        self._seen: tuple[str, float] = ("", 0.0)

    def plates(self, until: Deadline) -> list[words.Plate]:
        """Return every plate in the screen and group of the options.

        Raises:
            DeviceError: OMERO does not answer, refuses, or knows no such group or screen.
        """
        query: dict[str, str | int] = {}
        if self._options.group:
            query["group"] = self._named("experimentergroups", self._options.group, until)
        if self._options.screen:
            query["screen"] = self._named("screens", self._options.screen, until, query)
        return self._line.listing(words.plate, f"{API}/m/plates/", until, query)

    def snapshot(self, until: Deadline) -> list[int]:
        """Return the ids of the plates that are there now, heard twice alike: one too few would count as new later.

        Raises:
            Transient: it changes all the time.
            DeviceError: as `plates`.
        """
        before: list[int] | None = None
        for _ in range(_LOOKS):
            now = sorted(plate.id for plate in self.plates(until))
            if now == before:
                return now
            before = now
        raise Transient(f"OMERO's plates were others at each of {_LOOKS} looks")

    def look(self, asked: Asked, word: str, until: Deadline) -> Verdict:
        """Look for a readout; `word`: the number of a plate that a person gave, else "".

        Raises:
            DeviceError: OMERO does not answer, or refuses.
        """
        plates = self.plates(until)
        if word:
            named = [plate for plate in plates if str(plate.id) == word]
            if not named:
                return Verdict(question=f"a person named the plate {word!a}, which OMERO does not have here")
            return self._judged(self.content(named[0], until), asked, is_named=True)
        fresh = [plate for plate in plates if plate.id not in asked.before]
        said = self._said_barcodes(fresh, until)
        meant = [p for p in fresh if p.name == asked.barcode or asked.barcode in said.get(p.id, ())]
        if len(meant) > 1:
            told = " and ".join(f"{plate.id} ({shown(plate.name)})" for plate in meant)
            return Verdict(question=f"OMERO has {len(meant)} new plates of barcode {asked.barcode}: {told}")
        if not meant:
            return Verdict(reasons=(_absent(asked, plates),))
        if others := {*said.get(meant[0].id, ())} - {asked.barcode}:
            other = ", ".join(map(shown, sorted(others)))
            name = f"plate {meant[0].id} is named {shown(meant[0].name)}"
            return Verdict(question=f"{name}, and its annotation {self._options.key} says {other}")
        return self._judged(self.content(meant[0], until), asked)

    def content(self, plate: words.Plate, until: Deadline) -> Content:
        """Return what OMERO holds of a plate; an image that was described whole is not asked for again.

        Raises:
            DeviceError: as `look`.
        """
        wells = self._line.listing(words.well, f"{API}/m/plates/{plate.id}/wells/", until, size=_WELLS_A_PAGE)
        fields = tuple(
            FieldOfView(well_name(well.row, well.column), n, well.id, self._image(sample.image, until))
            for well in sorted(wells, key=lambda w: (w.row, w.column))
            for n, sample in enumerate(well.samples, 1)
        )
        runs = sorted({s.run for well in wells for s in well.samples if s.run is not None})
        empty = tuple(sorted(well_name(well.row, well.column) for well in wells if not well.samples))
        return Content(plate, fields, tuple(runs), sum(f.image.kind is None for f in fields), empty)

    def named(self, number: int, until: Deadline, *, is_partial: bool = False) -> tuple[Content, tuple[str, ...]]:
        """Return what OMERO holds of the plate of this number, whatever its name and age, and what it lacks.

        Args:
            number: OMERO's own.
            until: deadline.
            is_partial: take what is whole of a plate that is not; else nothing is ever lacking.

        Raises:
            NeedsOperator: there is none, it is not whole (names wells, fields and channels), or it cannot be read.
            DeviceError: as `look`.
        """
        found = [plate for plate in self.plates(until) if plate.id == number]
        if not found:
            raise NeedsOperator(f"there is no plate {number} in OMERO that {self._line.user or 'the public'} may see")
        content = self.content(found[0], until)
        if content.lacking == len(content.fields):
            raise NeedsOperator(f"plate {number} has the pixels of 0 of {len(content.fields)} images; is it imported?")
        if why := _unusable(content):
            raise NeedsOperator(why)
        lacks = shortfalls(content, self._options.due)
        if lacks and not is_partial:
            raise NeedsOperator(f"plate {number} is not whole: {few(lacks)}")
        return (_whole_images(content, self._options.due) if lacks else content), lacks

    def _named(
        self, kind: str, name: str, until: Deadline, query: Mapping[str, str | int] = MappingProxyType({})
    ) -> int:
        found = self._line.listing(words.plate, f"{API}/m/{kind}/", until, query)
        fitting = [each.id for each in found if each.name == name] or [e.id for e in found if str(e.id) == name]
        if len(fitting) != 1:
            told = f"{len(fitting)} ({', '.join(map(str, fitting[:_SHOWN]))})" if fitting else "none"
            raise NeedsOperator(f"of the {kind} in OMERO, {told} is named {name!a}; correct the option, or give its id")
        return fitting[0]

    def _said_barcodes(self, plates: Sequence[words.Plate], until: Deadline) -> Mapping[int, tuple[str, ...]]:
        found: dict[int, tuple[str, ...]] = {}
        for note in self._line.notes("plate", [plate.id for plate in plates], until):
            values = tuple(value for key, value in note.values if key == self._options.key)
            found[note.on_id] = found.get(note.on_id, ()) + values
        return found

    def _image(self, number: int, until: Deadline) -> words.Image:
        image = self._images.get(number)
        if image is None:
            image = self._line.get(words.image, f"{API}/m/images/{number}/", until)
            if image.id != number:
                raise NeedsOperator(f"OMERO describes image {image.id} where image {number} was asked for")
            if image.kind is not None:
                self._images[number] = image
        return image

    def _judged(self, content: Content, asked: Asked, *, is_named: bool = False) -> Verdict:
        question = _unusable(content)
        odd = (*_odd(content, self._options.due), *_too_old(content, asked, self._options.slack_s))
        reasons = (*_lacking(content, self._options.due), *odd)
        if question or odd:
            self._images.clear()  # what looks wrong may have been heard wrong
        if is_named and content.fields and not content.lacking:
            reasons = ()  # a person takes it as it is
        rested_s = self._rested_s(content.digest)
        if question or reasons:
            return Verdict(question=question, reasons=tuple(f"plate {content.plate.id}: {r}" for r in reasons))
        if rested_s < self._options.rest_s:
            waits = f"nothing changed for {rested_s:.0f} of {self._options.rest_s:.0f} s"
            return Verdict(reasons=(f"plate {content.plate.id}: it has not rested long enough ({waits})",))
        return Verdict(take=content)

    def _rested_s(self, digest: str) -> float:
        now = self._monotonic()
        if self._seen[0] != digest:
            self._seen = digest, now
        return now - self._seen[1]


def _absent(asked: Asked, plates: Sequence[words.Plate]) -> str:
    older = [str(p.id) for p in plates if p.id in asked.before and p.name == asked.barcode]
    if not older:
        return "no plate of this barcode is there"
    return f"only older plates of this name are there, not taken: {', '.join(older)}"


def _unusable(content: Content) -> str:
    """Say what no waiting changes."""
    if len(content.runs) > 1:
        return f"plate {content.plate.id} holds {len(content.runs)} runs: {', '.join(map(str, content.runs))}"
    kinds = {f.image.kind.dtype for f in content.fields if f.image.kind is not None} - {*READABLE}
    if kinds:
        told = ", ".join(map(shown, sorted(kinds)))
        return f"plate {content.plate.id} has pixels of type {told}; nextplate reads {' and '.join(READABLE)}"
    return ""


def _lacking(content: Content, due: Due) -> Iterator[str]:
    """Say what a whole readout would have."""
    if not content.fields:
        yield "it holds no image yet"
        return
    if content.lacking:
        first = next(f for f in content.fields if f.image.kind is None)
        yield f"{content.lacking} images have no pixels yet, first {first.well} field {first.number}"
    yield from _missing(Counter(f.well for f in content.fields), due)


def shortfalls(content: Content, due: Due) -> tuple[str, ...]:
    """Name every well, field and channel that a whole plate would have and this one has not, in the plate's order."""
    n_fields = Counter(f.well for f in content.fields)
    n_due = max(n_fields.values(), default=0) if due.n_fields is None else due.n_fields
    usual = _usual(content, due)
    found = [(well, 0, "has no image") for well in {*content.empty} | ((due.wells or frozenset()) - n_fields.keys())]
    found += [(well, 0, f"has {n} of {n_due} fields") for well, n in n_fields.items() if n != n_due]
    if due.wells is not None:
        found += [(well, 0, f"is of no plate of {len(due.wells)}") for well in n_fields.keys() - due.wells]
    for f in content.fields:
        if f.image.kind is None:
            found.append((f.well, f.number, "has no pixels"))
        elif due.n_channels is not None and len(f.image.kind.channels) != due.n_channels:
            found.append((f.well, f.number, f"has {len(f.image.kind.channels)} of {due.n_channels} channels"))
        elif absent := [name for name in usual.channels if name not in f.image.kind.channels]:
            found.append((f.well, f.number, f"has no channel {', '.join(map(shown, absent))}"))
        elif f.image.kind != usual:
            found.append((f.well, f.number, f"is not like the others: {shown(repr(f.image.kind))}"))
    return tuple(f"{well}{f' field {n}' if n else ''} {what}" for well, n, what in sorted(found))


def _usual(content: Content, due: Due) -> words.Kind:
    """Return what most images are, among those that have the channels that are due, where some have."""
    kinds = Counter(f.image.kind for f in content.fields if f.image.kind is not None)
    fitting = {kind: n for kind, n in kinds.items() if due.n_channels in (None, len(kind.channels))} or kinds
    return max(fitting, key=lambda kind: (fitting[kind], len(kind.channels), repr(kind)))


def _whole_images(content: Content, due: Due) -> Content:
    """Leave out the images that cannot be taken: those without pixels, and those that are not like the others."""
    usual = _usual(content, due)
    return replace(content, fields=tuple(f for f in content.fields if f.image.kind == usual), lacking=0)


def few(lacks: Sequence[str]) -> str:
    """Name the first of what is lacking, and say how much more there is."""
    more = f" .. and {len(lacks) - _NAMED} more" if len(lacks) > _NAMED else ""
    return f"{'; '.join(lacks[:_NAMED])}{more}"


def _odd(content: Content, due: Due) -> Iterator[str]:
    """Say what does not fit together."""
    kinds = Counter(f.image.kind for f in content.fields if f.image.kind is not None)
    if len(kinds) > 1:
        odd = min(kinds, key=lambda k: (kinds[k], repr(k)))
        where = next(f for f in content.fields if f.image.kind == odd)
        yield f"its images are not alike: {where.well} field {where.number} is {shown(repr(odd))}"
    n_channels = {len(kind.channels) for kind in kinds}
    if due.n_channels is not None and n_channels - {due.n_channels}:
        yield f"it has {_numbers(n_channels)} channels, {due.n_channels} are due"


def _missing(fields: Counter[str], due: Due) -> Iterator[str]:
    n_due = max(fields.values()) if due.n_fields is None else due.n_fields
    if wrong := sorted(well for well, n in fields.items() if n != n_due):
        yield f"{len(wrong)} wells have another number of fields than {n_due}: {_some(wrong)}"
    if due.wells is not None:
        if absent := sorted(due.wells - fields.keys()):
            yield f"{len(absent)} wells have no image: {_some(absent)}"
        if surplus := sorted(fields.keys() - due.wells):
            yield f"{len(surplus)} wells are of no plate of {len(due.wells)}: {_some(surplus)}"


def _too_old(content: Content, asked: Asked, slack_s: float) -> Iterator[str]:
    dates = [f.image.acquired_ms for f in content.fields if f.image.acquired_ms is not None]
    if dates and min(dates) < (asked.at - timedelta(seconds=slack_s)).timestamp() * 1000:
        yield (
            f"it was acquired at {date_of(min(dates))}, before it was asked for at {asked.at:%Y-%m-%dT%H:%M:%SZ} "
            "(option slack_s allows for clocks that differ)"
        )


def date_of(acquired_ms: int) -> str:
    """Spell an image's date, which is UTC only where the microscope's software wrote it so."""
    try:
        return datetime.fromtimestamp(acquired_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{acquired_ms} ms"


def _numbers(values: set[int]) -> str:
    return " or ".join(map(str, sorted(values)))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" .." if len(names) > _SHOWN else "")
