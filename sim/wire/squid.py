"""A Squid microscope behind a labrobots server; from facts/devices.md 4.8 and 4.9, and from no driver.

Its readouts are written in the format of `sim.imagexpress`; what is emulated is the way they are asked for.
"""

import json
import threading
from pathlib import Path
from typing import Any

from sim.wire.http_server import HttpReply, HttpRequest
from sim.wire.imx import Microscope
from sim.wire.time import EmulatedTime


class SquidEmulator:
    """One server with one machine, ``squid``; every command is a POST, and a GET moves things too."""

    def __init__(self, time: EmulatedTime, out: Path) -> None:
        self.time, self.lock = time, threading.RLock()
        self.scope = Microscope(time, out)
        self.is_locked = False
        """Another client has it."""
        self.refuses_to_acquire = False
        """It answers false, and does nothing."""
        self.config: list[str] | None = None
        self.gets: list[str] = []

    def handle(self, request: HttpRequest) -> HttpReply:
        """Act on a request; errors have status 200 too."""
        with self.lock:
            self.scope.advance()
            if request.path.split("/")[1:2] != ["squid"]:
                return HttpReply(404, b"not found")
            if request.method != "POST":
                self.gets.append(request.target)
                return self._said(error="a GET, which a driver must never send")
            try:
                body = json.loads(request.body)
                command, args = str(body["cmd"]), [str(arg) for arg in body["args"]]
            except (ValueError, KeyError, TypeError) as error:
                return self._said(error=repr(error))
            if self.is_locked and command not in ("up?", "lock_status"):
                return self._said(error="ValueError('Resource not available (exclusive lock taken)')")
            return self._answered(command, args)

    def power_cycle(self) -> None:
        """Switch it off and on: a run is lost, the stage stays, the configuration is gone."""
        with self.lock:
            self.scope.advance()
            self.scope.phase, self.scope._due, self.config = "READY", None, None

    def _answered(self, command: str, args: list[str]) -> HttpReply:
        scope, is_busy = self.scope, self.scope.phase == "RUNNING"
        match command, args:
            case "up?", []:
                return self._said(True)
            case "status", []:
                return self._said({"interactive": not is_busy, "progress_bar_text": "" if is_busy else "idle"})
            case "is_in_loading_position", []:
                return self._said(scope.place == "LOAD")
            case (("goto_loading" | "leave_loading"), []):
                if is_busy:
                    return self._said(error="RuntimeError('not interactive')")
                scope.place, scope.phase = "LOAD" if command == "goto_loading" else "SAMPLE", "READY"
                return self._said(None)
            case "load_config", [path, _project, _plate] if path.endswith(".json") and not is_busy:
                self.config = args
                return self._said(None)
            case "acquire", []:
                return self._acquired()
        return self._said(error=f"ValueError('{command} {args}')")

    def _acquired(self) -> HttpReply:
        scope = self.scope
        if scope.phase == "RUNNING" or self.config is None or self.refuses_to_acquire:
            return self._said(False)
        scope.label = self.config[2]
        scope.run()
        return self._said(True)

    @staticmethod
    def _said(value: Any = None, *, error: str = "") -> HttpReply:
        body = {"error": error, "log": []} if error else {"value": value, "log": []}
        return HttpReply(200, json.dumps(body).encode())
