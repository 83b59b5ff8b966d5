"""The rendered file of a load, as it was proven and not otherwise."""

import hashlib

from drivers.ports import RunLoad
from nextplate.errors import NeedsOperator


def proven_file(command: RunLoad) -> bytes | None:
    """Read the rendered file of a load; None where there is none.

    Raises:
        NeedsOperator: it cannot be read, or it is not the file that was proven; nothing moved.
    """
    if command.rendered_path is None:
        return None
    try:
        content = command.rendered_path.read_bytes()
    except OSError as error:
        raise NeedsOperator(f"cannot read {command.rendered_path}: {error}; nothing was asked for") from error
    if command.rendered_sha256 and hashlib.sha256(content).hexdigest() != command.rendered_sha256:
        raise NeedsOperator(
            f"{command.rendered_path} was changed after it was proven; nothing was asked for. Restore it, or abort "
            "and plan the round anew"
        )
    return content
