"""What the work-list folder driver remembers: which lists it handed over, and how they ended.

A record is written before its list is shown to the robot's software, and the list waits beside its place under a
hidden name until then. So after a crash: no record, nothing was handed over; a record and the hidden list, nothing was
handed over yet; a record and no hidden list, it was. Software that takes the list away changes nothing of that.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from drivers.key_files import file_name, write_whole
from drivers.ports import Report, Status
from nextplate.errors import DataError
from protocols.model import DeckLoad, Protocol
from protocols.worklists.names import Names

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Handed:
    """One work list."""

    name: str
    """Of its files, without ending."""
    key: str
    load: DeckLoad
    names: Names


class Unreadable(Exception):
    """A record cannot be believed; the text says which and why."""


class WorklistMemory:
    """Records in a folder of the lab, one a key, each whole or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remember(self, key: str, protocol: Protocol, load_index: int, names: Names) -> None:
        """Write the record of a list that is about to be handed over.

        Raises:
            OSError: it cannot be written.
        """
        body = {"format": _FORMAT, "key": key, "load": load_index, "names": names.to_csv()}
        text = json.dumps({**body, "protocol": protocol.to_json()})
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(file_name(key)), text.encode())

    def has(self, key: str) -> bool:
        """Tell whether there is a record, readable or not."""
        return self._path(file_name(key)).exists()

    def handed(self, key: str) -> Handed:
        """Return a record.

        Raises:
            Unreadable: it is damaged, or of another key.
        """
        name = file_name(key)
        try:
            body = json.loads(self._path(name).read_bytes())
            protocol = Protocol.from_json(body["protocol"])
            (load,) = [load for load in protocol.loads if load.index == body["load"]]
            if body["key"] != key or body["format"] != _FORMAT:
                raise ValueError("it is of another key or format")
            return Handed(name, key, load, Names.from_csv(body["names"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError) as error:
            raise Unreadable(f"the record {self._path(name)} cannot be read: {error!r:.200}") from error

    def open_keys(self) -> list[str]:
        """Return the keys of records that have no end yet, sorted; records that cannot be read are a person's."""
        keys = []
        for path in sorted(self.folder.glob("*.json")):
            if self._end(path.stem).exists():
                continue
            try:
                keys.append(str(json.loads(path.read_bytes())["key"]))
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue
        return keys

    def names(self) -> list[str]:
        """Return the names of all lists ever handed over."""
        return [path.stem for path in self.folder.glob("*.json")]

    def end(self, name: str, report: Report) -> None:
        """Write how a list ended: for good, whatever becomes of its result file.

        Raises:
            OSError: it cannot be written.
        """
        self._end(name).parent.mkdir(exist_ok=True)
        body = {"status": report.status.value, "result": report.result, "message": report.message}
        write_whole(self._end(name), json.dumps(body).encode())

    def ended(self, name: str) -> Report | None:
        """Return how a list ended; None: it has not.

        Raises:
            Unreadable: the record is damaged.
        """
        path = self._end(name)
        try:
            body = json.loads(path.read_bytes())
            return Report(Status(body["status"]), body["result"], body["message"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise Unreadable(f"the record {path} cannot be read: {error!r:.200}") from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _end(self, name: str) -> Path:
        return self.folder / "ended" / f"{name}.json"
