"""What every HTTP device can be told in lab.toml, and its wire.

::

    options = { url = "http://192.168.1.20:31950", log = true, reply_s = 10.0, token_env = "FLEX_TOKEN" }

``log`` (true unless said otherwise) writes every request and answer to ``logs/wire/<kind>.log``; ``reply_s`` is how
long an answer may take. A bearer token is named, never written, in lab.toml: ``token_env``, a variable of the
environment, or ``token_file``, a file (relative to the lab, or absolute) that only its owner may read.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from drivers.http_line import LOGGED
from drivers.http_wire import HttpWire, checked_url
from drivers.options import checked
from drivers.serial_options import memory_of, wire_log_path
from drivers.wire_log import WireLog
from nextplate.errors import NeedsOperator, SettingsError

__all__ = ["http_options", "http_wire_of", "memory_of", "secret_of", "token_of", "wire_log_path"]

_REQUIRED: Mapping[str, type] = {"url": str}
_OPTIONAL: Mapping[str, type] = {"log": bool, "reply_s": float, "token_env": str, "token_file": str, "ca_file": str}


def http_options(
    options: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type]
) -> dict[str, Any]:
    """Check an HTTP driver's options: its own, and those of every HTTP device.

    Raises:
        SettingsError: one is missing, unknown or wrong, or a number is not above 0.
    """
    said = checked(options, {**_REQUIRED, **required}, {**_OPTIONAL, **optional})
    for name, value in said.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value < float("inf"):
            raise SettingsError(f"option {name} = {value!r} should be above 0")
    try:
        checked_url(said["url"])
    except ValueError as error:
        raise SettingsError(f"option url: {error}") from error
    if "token_env" in said and "token_file" in said:
        raise SettingsError("options token_env and token_file name two tokens; leave one out")
    return said


def http_wire_of(
    said: Mapping[str, Any],
    kind: str,
    lab: Path,
    *,
    headers: Mapping[str, str] | None = None,
    is_exclusive: bool = True,
    logged: int = LOGGED,
) -> HttpWire:
    """Return the wire of a device, with nothing opened; ``logged``: bytes of each message that the log takes."""
    return HttpWire(
        said["url"],
        headers=headers,
        token=token_of(said, lab),
        log=WireLog(wire_log_path(lab, kind)) if said.get("log", True) else None,
        is_exclusive=is_exclusive,
        ca_file=lab / said["ca_file"] if "ca_file" in said else None,
        logged=logged,
    )


def token_of(said: Mapping[str, Any], lab: Path) -> Callable[[], str] | None:
    """Return what reads the bearer token when it is needed; None where none is named.

    What it returns raises NeedsOperator where there is no token, or its file is open to others.
    """
    return secret_of(said, lab, "token") if "token_env" in said or "token_file" in said else None


def secret_of(said: Mapping[str, Any], lab: Path, what: str) -> Callable[[], str]:
    """Return what reads a secret, ``token`` or ``password``, from where option ``<what>_env`` or ``<what>_file`` says.

    What it returns raises NeedsOperator as for `token_of`.
    """
    if f"{what}_env" in said:
        return partial(_of_environment, said[f"{what}_env"], what)
    return partial(_of_file, lab / said[f"{what}_file"], what)


def _of_environment(name: str, what: str) -> str:
    return _checked(os.environ.get(name, ""), f"the environment variable {name} (option {what}_env)", what)


def _of_file(path: Path, what: str) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii" if what == "token" else "utf-8")
    except (OSError, ValueError) as error:
        raise NeedsOperator(f"the {what} file {path} (option {what}_file) cannot be read: {error!s:.200}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NeedsOperator(f"the {what} file {path} is open to others; chmod 600 {path}")
    return _checked(text.strip(), f"the {what} file {path}", what)


def _checked(secret: str, where: str, what: str) -> str:
    """Return a secret that can be sent; it is never shown."""
    if what == "token" and not re.fullmatch(r"[!-~]{1,8192}", secret):
        raise NeedsOperator(f"{where} holds no token (one word of ASCII)")
    if not secret or len(secret) > 8192 or not secret.isprintable():
        raise NeedsOperator(f"{where} holds no {what}")
    return secret
