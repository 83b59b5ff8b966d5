"""The rendered file of a load and those that go with it, as they were proven and not otherwise."""

import hashlib
from pathlib import Path

from drivers.ports import ProvenFile, RunLoad
from nextplate.errors import NeedsOperator


def proven_file(command: RunLoad) -> bytes | None:
    """Read the rendered file of a load; None where there is none.

    Raises:
        NeedsOperator: it cannot be read, or it is not the file that was proven; nothing moved.
    """
    if command.rendered_path is None:
        return None
    return _proven(command.rendered_path, command.rendered_sha256)


def proven_bytes(file: ProvenFile) -> bytes:
    """Read a file that goes with a load.

    Raises:
        NeedsOperator: it cannot be read, or it is not the file that was proven; nothing moved.
    """
    return _proven(file.path, file.sha256)


def proven_with(command: RunLoad) -> dict[str, bytes]:
    """Read every further file of a load, by the file's own name.

    Raises:
        NeedsOperator: one cannot be read, or is not the one that was proven; nothing moved.
    """
    files = (*command.tables, *((command.offsets,) if command.offsets is not None else ()))
    return {file.path.name: proven_bytes(file) for file in files}


def _proven(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NeedsOperator(f"cannot read {path}: {error}; nothing was asked for") from error
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise NeedsOperator(
            f"{path} was changed after it was proven; nothing was asked for. Restore it, or abort and plan the round "
            "anew"
        )
    return content
