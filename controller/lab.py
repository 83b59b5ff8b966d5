"""A lab folder: its settings, its database, and what is registered in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from controller.database import database_url
from controller.files import write_text
from controller.lock import lab_lock
from controller.settings import Settings, load_campaigns, load_settings
from controller.store import open_store
from nextplate.errors import DataError

if TYPE_CHECKING:
    from controller.store.store import Store

FOLDERS = ("library", "models", "measurements", "protocols", "readouts", "reports", "logs")


@dataclass(frozen=True, slots=True)
class Lab:
    """Where a lab is and how it is set up."""

    folder: Path
    settings: Settings
    """Of lab.toml."""
    more: tuple[Settings, ...] = ()
    """Of the campaigns in ``campaigns/*.toml``: lab.toml with the tables that each changes."""

    @property
    def campaigns(self) -> tuple[Settings, ...]:
        """Return the settings of every campaign that the lab is to run."""
        return (self.settings, *self.more)

    @property
    def database(self) -> str:
        """Return the SQLAlchemy URL; a relative SQLite path lies in the lab folder."""
        return database_url(self.folder, self.settings.lab.database)


def open_lab(folder: Path) -> Lab:
    """Read and check a lab's settings.

    Raises:
        SettingsError: no lab there, or a mistake in lab.toml or in a file of ``campaigns/``.
    """
    settings = load_settings(folder / "lab.toml")
    # Absolute from here on: devices and workers need not share this process's working folder.
    return Lab(folder.resolve(), settings, load_campaigns(folder, settings))


def init_lab(folder: Path, text: str | None = None) -> Lab:
    """Make a lab folder with settings and an empty database; a half-made one is completed.

    Raises:
        DataError: the folder is a lab already, or holds something else.
    """
    if (folder / "lab.toml").exists():
        raise DataError(f"{folder} is a lab already; choose another folder, or edit {folder / 'lab.toml'}")
    if folder.exists() and (not folder.is_dir() or any(map(_is_foreign, folder.iterdir()))):
        raise DataError(f"{folder} exists and is not empty; choose a new folder for the lab")
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_text(folder / "lab.toml", text or default_settings())
    lab = open_lab(folder)
    open_store(lab.database, create=True).close()
    return lab


def _is_foreign(path: Path) -> bool:
    """Tell what a half-made lab cannot have left behind."""
    return path.name not in FOLDERS and not path.name.startswith(".lab.toml.")


def default_settings() -> str:
    """Return the text of a new lab's lab.toml."""
    return resources.files("controller").joinpath("templates/lab.toml").read_text(encoding="utf-8")


@contextmanager
def locked_store(lab: Lab, command: str) -> Iterator["Store"]:
    """Hold the lab alone and open its database.

    Raises:
        LabBusy: another process works on this lab.
    """
    with lab_lock(lab.folder, command, lab.database), open_store(lab.database, create=True) as store:
        yield store
