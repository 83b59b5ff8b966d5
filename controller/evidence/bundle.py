"""A post-mortem bundle: one zip file with everything that tells what happened, for somebody who was not there.

It is safe to open: names are relative and plain, nothing is larger than it says, lab.toml and logs have their secrets
taken out, and ``manifest.json`` tells the sha256 of every file. The journal is in it as it is; no secret belongs there.
"""

import hashlib
import json
import os
import platform
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import IO, Any

from controller.evidence.exporting import Tally, line_of
from controller.evidence.tomltext import toml_text
from controller.files import atomic_file
from controller.secrecy import cleaned, settings_to_show, without
from controller.store.journal import Head, JournalRow
from nextplate.errors import DataError

FORMAT = 1
MANIFEST = "manifest.json"
LARGEST_FILE = 20_000_000
"""Bytes of one file; of a longer log the end is taken, a longer record is left out. The journal has no bound."""
LARGEST_BUNDLE = 500_000_000
"""Bytes of all files but the journal, unpacked."""
_STAMP = (1980, 1, 1, 0, 0, 0)
_FOLDERS = (
    ("logs", "**/*", True),
    ("models", "*/record.json", False),
    ("models", "*/card.json", False),
    ("measurements", "*/record.json", False),
    ("protocols", "*/record.json", False),
    ("protocols", "*/protocol.json", False),
    ("protocols", "*/*.py", False),
    ("protocols", "*/problems.json", False),
    ("protocols", "snapshots/*.json", False),
    ("exchange/requests", "*.json", False),
    ("exchange/replies", "*.json", False),
)
"""Folder of the lab, which files of it, and whether of a long one the end will do."""


@dataclass(frozen=True, slots=True)
class Bundled:
    """What a bundle holds."""

    n_files: int
    n_bytes: int
    """Unpacked."""
    left_out: tuple[str, ...]
    """Files that were too large or could not be read, and why."""


@dataclass(slots=True)
class _Packing:
    """A bundle being written."""

    archive: zipfile.ZipFile
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    room: int = LARGEST_BUNDLE
    secrets: frozenset[str] = frozenset()
    """Of the settings: no file of the lab but the journal holds them any longer."""

    def add(self, name: str, content: bytes, note: str = "") -> None:
        """Add a small file."""
        with self._open(name) as out:
            out.write(content)
        self._list(name, hashlib.sha256(content).hexdigest(), len(content), note)

    def add_lines(self, name: str, lines: Iterable[str]) -> None:
        """Add a text file of any length as it is, and say so should a secret stand in it."""
        digest, size, is_telling = hashlib.sha256(), 0, False
        with self._open(name) as out:
            for line in lines:
                raw = line.encode() + b"\n"
                is_telling = is_telling or without(self.secrets, raw) != raw
                digest.update(raw)
                size += len(raw)
                out.write(raw)
        self._list(name, digest.hexdigest(), size, "")
        if is_telling:
            self.left_out.append(
                f"nothing of {name}: A SECRET OF lab.toml STANDS IN IT; change it before this file leaves"
            )

    def add_file(self, name: str, path: Path, tail_will_do: bool) -> None:
        """Add a file of the lab, within the bounds."""
        if path.is_symlink():
            self.left_out.append(f"{name}: a link")
            return
        size = path.stat().st_size
        if size > LARGEST_FILE and not tail_will_do:
            self.left_out.append(f"{name}: {size} bytes")
            return
        if min(size, LARGEST_FILE) > self.room:
            self.left_out.append(f"{name}: the bundle is full")
            return
        with path.open("rb") as file:
            file.seek(max(0, size - LARGEST_FILE))
            content = file.read(LARGEST_FILE)
        content = cleaned(content, self.secrets) if name.startswith("logs/") else without(self.secrets, content)
        self.add(name, content, f"the last {LARGEST_FILE} of {size} bytes" if size > LARGEST_FILE else "")
        self.room -= len(content)

    def _open(self, name: str) -> IO[bytes]:
        info = zipfile.ZipInfo(name, _STAMP)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        return self.archive.open(info, "w", force_zip64=True)

    def _list(self, name: str, digest: str, size: int, note: str) -> None:
        self.files[name] = {"sha256": digest, "bytes": size} | ({"note": note} if note else {})


def make_bundle(lab: Path, out: Path, rows: Iterable[JournalRow], about: dict[str, Any], now: datetime) -> Bundled:
    """Write a bundle, whole or not at all.

    Args:
        lab: the lab folder.
        out: the zip file.
        rows: the journal's, from the first; they are taken as they are, broken or not.
        about: what else is known, JSON values: status, what the check of the journal found.
        now: for the manifest.

    Raises:
        DiskFull: no room; nothing is left behind.
    """
    with atomic_file(out) as file, zipfile.ZipFile(file, "w") as archive:
        packing = _Packing(archive)
        _add_settings(packing, lab)
        packing.add_lines("journal.jsonl", _lines(rows))
        for name, body in about.items():
            packing.add(f"{name}.json", without(packing.secrets, _json(body)))
        packing.add("environment.json", _json(environment()))
        for path, tail_will_do in _wanted(lab, out):
            _add(packing, lab, path, tail_will_do)
        manifest = {"format": FORMAT, "made_at": now.isoformat(), "lab": lab.name, "nextplate": _version("nextplate")}
        manifest |= {"files": packing.files, "left_out": packing.left_out}
        with packing._open(MANIFEST) as last:
            last.write(_json(manifest))
    sizes = [one["bytes"] for one in packing.files.values()]
    return Bundled(len(sizes), sum(sizes), tuple(packing.left_out))


def _lines(rows: Iterable[JournalRow]) -> Iterator[str]:
    tally = Tally()
    for row in rows:
        try:
            line = line_of(row)
        except (TypeError, ValueError):  # a payload that was damaged: as text, which the check will name
            line = json.dumps(row._asdict(), sort_keys=True, default=repr)
        tally.add(line, Head(row.seq, row.hash))
        yield line
    yield tally.line()


def _add_settings(packing: _Packing, lab: Path) -> None:
    """Add what was read from lab.toml, not its text: a comment may hold anything."""
    try:
        settings, packing.secrets = settings_to_show(lab, os.environ)
        packing.add("lab.toml", toml_text(settings).encode(), "as it was read, without secrets and comments")
    except (OSError, ValueError) as error:
        packing.left_out.append(f"lab.toml: {error}")


def _wanted(lab: Path, out: Path) -> Iterator[tuple[Path, bool]]:
    for folder, pattern, tail_will_do in _FOLDERS:
        for path in sorted((lab / folder).glob(pattern)):
            if path.is_file() and path.resolve() != out.resolve() and not path.name.endswith(".tmp"):
                yield path, tail_will_do


def _add(packing: _Packing, lab: Path, path: Path, tail_will_do: bool) -> None:
    name = path.relative_to(lab).as_posix()
    if name in packing.files:
        return
    try:
        packing.add_file(name, path, tail_will_do)
    except OSError as error:
        packing.left_out.append(f"{name}: {error.strerror}")


def _json(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, indent=1, default=str).encode()


def environment() -> dict[str, Any]:
    """Tell machine, Python and the versions of every package; no environment variables, which hold secrets."""
    packages = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": dict(sorted(packages.items())),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_bundle(path: Path) -> Bundled:
    """Check a bundle against its manifest, without unpacking it.

    Raises:
        DataError: it is no bundle, or a file was changed, added, removed, or is not as large as it says; names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _checked(path, archive)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError) as error:
        raise DataError(f"{path}: not a bundle of nextplate, or damaged: {error}") from error


def _checked(path: Path, archive: zipfile.ZipFile) -> Bundled:
    manifest = json.loads(archive.read(MANIFEST))
    listed: dict[str, dict[str, Any]] = manifest["files"]
    names = archive.namelist()
    if odd := [name for name in names if not _is_safe(name) or names.count(name) > 1]:
        raise DataError(f"{path}: holds a name that is not safe to unpack: {odd[0]!r}")
    if missing := sorted(listed.keys() - set(names)):
        raise DataError(f"{path}: {missing[0]} is in the manifest and not in the bundle")
    if strange := sorted(set(names) - listed.keys() - {MANIFEST}):
        raise DataError(f"{path}: {strange[0]} is in the bundle and not in the manifest")
    for name, said in listed.items():
        if archive.getinfo(name).file_size != said["bytes"] or _digest(archive, name) != said["sha256"]:
            raise DataError(f"{path}: {name} was changed after the bundle was made")
    return Bundled(len(listed), sum(said["bytes"] for said in listed.values()), tuple(manifest["left_out"]))


def _digest(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with archive.open(name) as file:
        read: Callable[[], bytes] = lambda: file.read(1 << 20)  # noqa: E731
        for chunk in iter(read, b""):
            digest.update(chunk)
    return digest.hexdigest()


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    return not (path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or name != path.as_posix())
