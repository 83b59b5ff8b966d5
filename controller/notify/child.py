"""The process that sends one message: a parcel as JSON on standard input, what became of it as JSON on standard output.

A process of its own, so that a server that drips one byte a minute, or a library that hangs, is ended by a kill at the
deadline and never holds the lab. It ends itself as well, should its parent be gone by then.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

JSON = Mapping[str, Any]
_MARK = "X-Nextplate-Message"
_TRY = "X-Nextplate-Try"


def main() -> None:
    """Send the parcel and tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parcel = json.load(sys.stdin)
    signal.setitimer(signal.ITIMER_REAL, parcel["deadline_s"] + 1)
    answers = os.fdopen(os.dup(1), "w")
    # Whatever a plug-in prints may hold a secret: it goes nowhere.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    answers.write(json.dumps(send(parcel)))
    answers.flush()


def send(parcel: JSON) -> dict[str, Any]:
    """Send a message; return {ok, said}, without any secret in it."""
    import apprise

    from controller.notify.scrub import scrubbed

    url = parcel["url"]
    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(heard)
    target = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if target is None:
        kind = url.partition("://")[0] if "://" in url else "without ://"
        return {"ok": False, "said": f"apprise does not take this {kind} address; see `apprise --details`"}
    _mark(target, parcel)
    picture, note = _picture(parcel)
    extra = {"attach": [str(picture)]} if picture and target.attachment_support else {}
    is_sent = target.notify(
        title=parcel["title"], body=parcel["body"] + note, body_format=apprise.NotifyFormat.TEXT, **extra
    )
    return {"ok": bool(is_sent), "said": "" if is_sent else scrubbed(heard.text(), url, _open_host(target))}


def _mark(target: Any, parcel: JSON) -> None:
    """Put the message's number where mail and web services have headers."""
    if isinstance(getattr(target, "headers", None), dict):
        target.headers = {**target.headers, _MARK: parcel["id"], _TRY: str(parcel["attempt"])}


def _open_host(target: Any) -> str | None:
    """Return the host where it is one, and not a part of a secret."""
    token = getattr(target, "template_tokens", {}).get("host", {})
    host = getattr(target, "host", None)
    return host if token and not token.get("private") and isinstance(host, str) else None


def _picture(parcel: JSON) -> tuple[Path | None, str]:
    """Draw the plate's picture if there is none yet; a plate that cannot be drawn is no reason to say nothing."""
    if not parcel.get("plate"):
        return None, ""
    from controller.notify.picture import night_picture
    from nextplate.errors import NextplateError

    try:
        return night_picture(Path(parcel["lab"]), parcel["plate"]), ""
    except (NextplateError, OSError, ValueError) as error:
        from controller.notify.plain import plain

        return None, f"\nThere is no picture: {plain(error)}"


class _Heard(logging.Handler):
    """What apprise said of a failure."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep warnings, and the one detail that says why."""
        said = record.getMessage()
        if record.levelno >= logging.WARNING or "xception:" in said:
            self._lines.append(" ".join(said.split()))

    def text(self) -> str:
        """Return it in one line."""
        return "; ".join(dict.fromkeys(self._lines))[:400] or "it was not taken, and apprise does not say why"


if __name__ == "__main__":
    main()
