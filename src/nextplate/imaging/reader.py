"""Open a plate folder of any microscope.

A reader is an object with a name, a sentence on what it looks for, and two verbs: `detect` looks at the folder
without opening images, `read` lists everything in it. Choosing and judging is the same for all and stands in
`nextplate.imaging.selection`. A new microscope is a new file in `readers` and one more entry in `READERS`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from nextplate.errors import DataError
from nextplate.imaging.listing import Listing
from nextplate.imaging.readers.cellomics import Cellomics
from nextplate.imaging.readers.cytation import Cytation
from nextplate.imaging.readers.files import scan
from nextplate.imaging.readers.harmony import Harmony
from nextplate.imaging.readers.imagexpress import ImageXpress
from nextplate.imaging.readers.incucyte import Incucyte
from nextplate.imaging.readers.ometiff import OmeTiff
from nextplate.imaging.readers.omezarr import OmeZarr
from nextplate.imaging.readers.pattern import PatternReader, compile_pattern
from nextplate.imaging.readers.squid import Squid
from nextplate.imaging.readers.yokogawa import Yokogawa
from nextplate.imaging.selection import Selection, ZChoice, to_readout
from nextplate.imaging.shown import shown_listing
from nextplate.plate import parse_well, well_name
from nextplate.readout import Readout

_MAX_TRIED, _MAX_TOLD = 20, 3


class Reader(Protocol):
    """Lists one microscope's folder."""

    @property
    def name(self) -> str:
        """The word that goes into `Readout.reader`."""
        ...

    @property
    def looks_for(self) -> str:
        """What `detect` needs to see, for the message when nobody recognises a folder."""
        ...

    def detect(self, folder: Path) -> bool:
        """Say whether the folder looks like this microscope's; reads no pixels."""
        ...

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List all images of a plate; reads no pixels. `plate` chooses where a folder may hold several."""
        ...


READERS: tuple[Reader, ...] = (
    ImageXpress(),
    Harmony(),
    Yokogawa(),
    Cytation(),
    Incucyte(),
    Squid(),
    Cellomics(),
    OmeTiff(),
    OmeZarr(),
)


def open_readout(
    folder: Path,
    expected_wells: Sequence[str] | None = None,
    *,
    z: ZChoice = "projection",
    t: int | None = None,
    reader: str | None = None,
    pattern: str | None = None,
    plate: str | None = None,
) -> Readout:
    """List what a microscope left in a plate folder; pixels are read later, on demand.

    Args:
        folder: the plate's folder.
        expected_wells: wells that must be there (from the layout). None: what the microscope's own
            description says it imaged.
        z: 'projection' (the microscope's own; else the middle step, said in `missing`), 'middle', 'max' (the
            maximum over the steps, taken on reading), or the 1-based number of a step.
        t: time point as the microscope numbers it. None: the first.
        reader: name of the reader to use. None: detected from the folder.
        pattern: regular expression for names of no known microscope (see `compile_pattern`); used instead of
            any reader.
        plate: which plate, where the folder holds several.

    Raises:
        DataError: no such folder, or no reader recognises it, or two do; its description file is broken; the
            plate has no such time point or z-step; the folder cannot be read any more.
    """
    wells = None if expected_wells is None else frozenset(well_name(*parse_well(w)) for w in expected_wells)
    listing = list_planes(folder, reader=reader, pattern=pattern, plate=plate)
    try:
        return to_readout(listing, folder, Selection(z, t), wells)
    except OSError as error:  # a plate being written is asked for the age and size of its files
        raise _gone(folder, error) from error


def list_planes(
    folder: Path, *, reader: str | None = None, pattern: str | None = None, plate: str | None = None
) -> Listing:
    """List every z-step and time point of a plate folder.

    Raises:
        DataError: as `open_readout`.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder of one plate's images")
    try:
        return shown_listing(_reader_for(folder, reader, pattern).read(folder, plate))
    except OSError as error:
        raise _gone(folder, error) from error


def _gone(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder} cannot be read ({error}); is the drive still there?")


def _reader_for(folder: Path, name: str | None, pattern: str | None) -> Reader:
    if pattern is not None:
        return PatternReader(compile_pattern(pattern))
    if name is not None:
        by_name = {reader.name: reader for reader in READERS}
        if name not in by_name:
            raise DataError(f"there is no reader {name!r}; there are {', '.join(by_name)}")
        return by_name[name]
    fitting = [reader for reader in READERS if reader.detect(folder)]
    if len(fitting) > 1:
        names = " and ".join(reader.name for reader in fitting)
        raise DataError(f"{folder} could be read as {names}; say which one, as in reader={fitting[0].name!r}")
    if not fitting:
        raise DataError(_nothing_found(folder))
    return fitting[0]


def _nothing_found(folder: Path) -> str:
    inner = _plates_below(folder)
    if inner:
        found = "; ".join(f"{name} ({reader})" for name, reader in inner)
        return f"{folder} is no plate itself, a folder in it is: {found}. Give that one"
    looked_for = "; ".join(f"{reader.name} ({reader.looks_for})" for reader in READERS)
    names = sorted(entry.name for entry in folder.iterdir())
    held = f"it holds {len(names)} entries, first {', '.join(names[:3])}" if names else "it is empty"
    hint = "Names of no known microscope are read with a regular expression: --pattern, or pattern under [readout]"
    return f"{folder} is no plate readout: looked for {looked_for}; {held}. {hint}"


def _plates_below(folder: Path, depth: int = 2) -> list[tuple[str, str]]:
    """Return a few plates below a folder, as (path below it, reader): what people most often mean."""
    found: list[tuple[str, str]] = []
    for entry in [e for e in scan(folder, folder) if e.is_folder and not e.is_outside][:_MAX_TRIED]:
        names = [reader.name for reader in READERS if reader.detect(entry.path)]
        if names:
            found.append((entry.name, names[0]))
        elif depth > 1:
            found += [(f"{entry.name}/{name}", reader) for name, reader in _plates_below(entry.path, depth - 1)]
    return found[:_MAX_TOLD]
