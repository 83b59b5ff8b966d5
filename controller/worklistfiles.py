"""Protocol files to files of robots' own software, and their result files back."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from controller.files import write_bytes
from nextplate.errors import DataError, PlanError
from protocols.model import DeckLoad, Protocol
from protocols.offsets import read_offsets
from protocols.render import render
from protocols.worklists.account import Account, as_rows, differences
from protocols.worklists.formats import LISTS, RESULTS, ListSettings, names_of, read_result, read_settings, write_list
from protocols.worklists.tables import MAX_BYTES

RENDERED = ("opentrons", *LISTS)
"""Formats a protocol can be rendered in."""


def settings_of(path: Path | None) -> ListSettings:
    """Read a mapping file; None: the defaults.

    Raises:
        DataError: no such file, no TOML, or a value that is wrong; names the file.
    """
    if path is None:
        return ListSettings()
    try:
        return read_settings(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (DataError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error


def rendered(protocol: Protocol, kind: str, settings: ListSettings, offsets: Path | None = None) -> dict[str, str]:
    """Return the files of a protocol by name: one a load, and its table of names where labels stand for names.

    Args:
        protocol: to be written.
        kind: one of RENDERED.
        settings: of work lists.
        offsets: file of labware offsets that an Opentrons file sets; None: it sets none.

    Raises:
        DataError: an unknown format, or the offsets cannot be used, or not in this format.
        PlanError: what the format cannot say, with the well.
    """
    if kind not in RENDERED:
        raise DataError(f"format {kind!r:.40} is not known; known are {', '.join(RENDERED)}")
    if offsets is not None and kind != "opentrons":
        raise DataError(f"--offsets: a file of format {kind} sets no labware offsets; they are for opentrons")
    measured = () if offsets is None else read_offsets(offsets, protocol.robot)
    files: dict[str, str] = {}
    for load in protocol.loads:
        if kind == "opentrons":
            files[f"load-{load.index}.py"] = render(protocol, load.index, offsets=measured)
            continue
        made = write_list(kind, protocol, load.index, settings)
        files[f"load-{load.index}{LISTS[kind]}"] = made.text
        if table := made.names.to_csv():
            files[f"load-{load.index}.names.csv"] = table
    return files


def write_files(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write files into a folder, each whole or not at all, as they are: no line end is changed.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_bytes(folder / name, text.encode("utf-8"))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}") from error
    return [folder / name for name in files]


def result_of(protocol: Protocol, load_index: int | None, raw_path: Path, kind: str, settings: ListSettings) -> Account:
    """Read the result file of one load.

    Args:
        protocol: that was run.
        load_index: of the load; None: the only one.
        raw_path: the result file.
        kind: one of protocols.worklists.formats.RESULTS.
        settings: the list was written with.

    Raises:
        DataError: the file cannot be read or does not fit the load; names file and line.
    """
    if kind not in RESULTS:
        raise DataError(f"result format {kind!r:.40} is not known; known are {', '.join(RESULTS)}")
    load = _load(protocol, load_index)
    try:
        if raw_path.stat().st_size > MAX_BYTES:
            raise DataError(f"{raw_path.stat().st_size} bytes are too many for a result file")
        names = names_of(protocol, load.index, "csv" if kind == "table" else "", settings)
        return read_result(kind, raw_path.read_bytes(), load, names, settings)
    except OSError as error:
        raise DataError(f"{raw_path}: {error.strerror}") from error
    except (DataError, PlanError) as error:
        raise DataError(f"{raw_path}: {error}") from error


def _load(protocol: Protocol, load_index: int | None) -> DeckLoad:
    indices = [load.index for load in protocol.loads]
    if load_index is None and len(indices) == 1:
        return protocol.loads[0]
    if load_index not in indices:
        raise DataError(f"name the load that the result is of with --load; the protocol has {indices}")
    return protocol.loads[indices.index(load_index)]


def as_body(account: Account) -> dict[str, object]:
    """Return an account as JSON values."""
    return {
        "load": account.load.index,
        "is_as_planned": account.is_as_planned,
        "is_aborted": account.is_aborted,
        "message": account.message,
        "counts": account.counts(),
        "transfers": as_rows(account),
        "differences": differences(account),
    }


def as_text(account: Account) -> str:
    """Return an account for people."""
    counts = ", ".join(f"{n} {fate}" for fate, n in account.counts().items() if n)
    head = [f"load {account.load.index}: {len(account.happened)} transfers: {counts}"]
    if account.is_aborted:
        head.append(f"the run ended early{f': {account.message}' if account.message else ''}")
    elif account.is_open:
        head.append(account.message)
    return "\n".join([*head, *(f"  {line}" for line in differences(account))])
