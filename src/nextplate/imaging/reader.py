"""Open a plate folder of any microscope.

A reader is an object with a name, a sentence on what it looks for, and two verbs: `detect` looks at the folder
without opening images, `read` lists the images. A new microscope is a new file and one more entry in `READERS`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from nextplate.errors import DataError
from nextplate.imaging.imagexpress import ImageXpress
from nextplate.plate import parse_well, well_name
from nextplate.readout import Readout


class Reader(Protocol):
    """Turns one microscope's folder into a readout."""

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

    def read(self, folder: Path, expected_wells: frozenset[str] | None) -> Readout:
        """List images and what is missing; reads no pixels."""
        ...


READERS: tuple[Reader, ...] = (ImageXpress(),)


def open_readout(folder: Path, expected_wells: Sequence[str] | None = None) -> Readout:
    """List what a microscope left in a plate folder; pixels are read later, on demand.

    Args:
        folder: the plate's folder.
        expected_wells: wells that must be there (from the layout). None: what the microscope's own
            description says it imaged.

    Raises:
        DataError: no such folder, or no reader recognises it; or its description file is broken.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder of one plate's images")
    wells = None if expected_wells is None else frozenset(well_name(*parse_well(w)) for w in expected_wells)
    for reader in READERS:
        if reader.detect(folder):
            return reader.read(folder, wells)
    raise DataError(_nothing_found(folder))


def _nothing_found(folder: Path) -> str:
    looked_for = "; ".join(f"{reader.name} ({reader.looks_for})" for reader in READERS)
    names = sorted(entry.name for entry in folder.iterdir())
    held = f"it holds {len(names)} entries, first {', '.join(names[:3])}" if names else "it is empty"
    return f"{folder} is no plate readout: looked for {looked_for}; {held}"
