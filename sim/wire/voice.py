"""What a device says by itself, when something ends: a thread that listens to the emulator and tells the wire."""

import threading
from typing import Protocol

from sim.wire.emulator import Emulator
from sim.wire.server import WireServer


class Talker(Emulator, Protocol):
    """An emulator that also speaks unasked."""

    def unasked(self) -> list[bytes]:
        """Return what is due to be said by now, once."""


class Voice:
    """The thread; end it before the server."""

    def __init__(self, emulator: Talker, server: WireServer, *, every_s: float = 0.003) -> None:
        self._emulator, self._server, self._every_s = emulator, server, every_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True, name="voice of an emulator")
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._is_over.set()
        self._thread.join(5.0)

    def _speak(self) -> None:
        while not self._is_over.wait(self._every_s):
            with self._emulator.lock:
                said = self._emulator.unasked()
            for data in said:
                self._server.say(data)
