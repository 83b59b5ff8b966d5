"""What a device behind a worker remembers of every key: small files in the lab, each written whole.

::

    logs/devices/incubator/
      asked/first.r0.store.json    the command; from here on the key is known
      begun/first.r0.store.json    what the driver had decided (a slot, ...); written before anything moves
      ended/first.r0.store.json    how it ended: done, failed or unknown, with its result

A key is NOT_FOUND exactly when nothing was begun for it. Begun without an end is a command that a killed process left
behind: the sensors have to say how it stands.
"""

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from drivers.key_files import file_name, write_whole
from drivers.ports import Report, Status

JSON = Mapping[str, Any]
_FOLDERS = ("asked", "begun", "ended")


class Forgotten(Exception):
    """The memory cannot be read; the text says why and what to do."""


def written(command: Any) -> dict[str, Any]:
    """Write a command (a dataclass of drivers.ports) as JSON values."""
    body: dict[str, Any] = json.loads(json.dumps(asdict(command), default=str))
    return {"type": type(command).__name__, **body}


def read(body: JSON, takes: tuple[type, ...]) -> Any:
    """Rebuild a command that `written` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is not one of those the device takes.
    """
    kind = {t.__name__: t for t in takes}[body["type"]]
    return _rebuilt(kind, {name: value for name, value in body.items() if name != "type"})


def _rebuilt(hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return hint(**{f.name: _rebuilt(hints[f.name], value[f.name]) for f in fields(hint) if f.name in value})
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        each = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_rebuilt(h, v) for h, v in zip(each, value, strict=True))
    if isinstance(hint, types.UnionType):
        return None if value is None else _rebuilt(next(h for h in get_args(hint) if h is not type(None)), value)
    return Path(value) if hint is Path else value


@dataclass(frozen=True, slots=True)
class Memory:
    """The files of one device."""

    place: Path
    _ended: dict[str, Report] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the folders of a fresh lab.

        Raises:
            OSError: they cannot be made.
        """
        for name in _FOLDERS:
            (self.place / name).mkdir(parents=True, exist_ok=True)

    @property
    def is_there(self) -> bool:
        """Say whether the memory can be asked at all."""
        return all((self.place / name).is_dir() for name in _FOLDERS)

    @property
    def has_begun(self) -> bool:
        """Say whether anything was ever begun."""
        return any((self.place / "begun").glob("*.json"))

    def ask(self, key: str, command: Any) -> None:
        """Remember a command; nothing has begun.

        Raises:
            OSError: it cannot be written; nothing of it is there.
        """
        self._write("asked", key, {"key": key, **written(command)})

    def begin(self, key: str, plan: JSON) -> None:
        """Remember that a command begins, and what was decided for it.

        Raises:
            OSError: it cannot be written; nothing of it is there.
        """
        self._write("begun", key, {"key": key, "plan": dict(plan)})

    def end(self, key: str, report: Report) -> None:
        """Remember how a command ended.

        Raises:
            OSError: it cannot be written.
        """
        body = {"key": key, "status": report.status.value, "result": dict(report.result), "message": report.message}
        self._write("ended", key, body)
        self._ended[key] = report

    def withdraw(self, key: str) -> None:
        """Take back that a command was begun, after the sensors said that nothing moved.

        Raises:
            OSError: the file cannot be removed.
        """
        self._path("begun", key).unlink(missing_ok=True)

    def command(self, key: str, takes: tuple[type, ...]) -> Any:
        """Return the command of a key; None when it was never asked for.

        Raises:
            Forgotten: the memory is not there or was damaged.
        """
        body = self._read("asked", key)
        try:
            return None if body is None else read({n: v for n, v in body.items() if n != "key"}, takes)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._changed("asked", key, error) from error

    def plan(self, key: str) -> JSON | None:
        """Return what was decided when a command began; None when it never did.

        Raises:
            Forgotten: the memory is not there or was damaged.
        """
        body = self._read("begun", key)
        if body is None:
            return None
        if not isinstance(body.get("plan"), dict):
            raise self._changed("begun", key, TypeError("plan"))
        return dict(body["plan"])

    def ended(self, key: str) -> Report | None:
        """Return how a command ended; None when it has not, or nobody knows.

        Raises:
            Forgotten: the memory is not there or was damaged.
        """
        if key in self._ended:
            return self._ended[key]
        body = self._read("ended", key)
        if body is None:
            return None
        try:
            self._ended[key] = Report(Status(body["status"]), dict(body["result"]), str(body["message"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._changed("ended", key, error) from error
        return self._ended[key]

    def unended(self) -> Iterator[str]:
        """Yield the keys that were begun and have no end, which only a killed process leaves behind.

        Raises:
            Forgotten: the memory is not there or was damaged.
        """
        begun, ended = ({path.name for path in (self.place / name).glob("*.json")} for name in ("begun", "ended"))
        for name in sorted(begun - ended):
            body = self._loaded(self.place / "begun" / name)
            yield str((body or {}).get("key", ""))

    def _path(self, folder: str, key: str) -> Path:
        return self.place / folder / f"{file_name(key)}.json"

    def _write(self, folder: str, key: str, body: JSON) -> None:
        write_whole(self._path(folder, key), json.dumps(body, indent=1).encode())

    def _read(self, folder: str, key: str) -> dict[str, Any] | None:
        path = self._path(folder, key)
        body = self._loaded(path)
        if body is not None and body.get("key") != key:
            raise Forgotten(f"{path} is about key {body.get('key')!a}, not {key!a}")
        return body

    def _loaded(self, path: Path) -> dict[str, Any] | None:
        try:
            body = json.loads(path.read_bytes())
        except FileNotFoundError:
            if self.is_there:
                return None
            raise Forgotten(f"the memory {self.place} is not whole; put its folders back") from None
        except (OSError, ValueError, RecursionError) as error:
            raise Forgotten(f"{path} cannot be read ({error}); look at the device") from error
        if not isinstance(body, dict):
            raise Forgotten(f"{path} was changed after it was written; look at the device")
        return body

    def _changed(self, folder: str, key: str, error: Exception) -> Forgotten:
        return Forgotten(f"{self._path(folder, key)} was changed after it was written ({error!r}); look at the device")
