"""A TCP port for a device that takes one command on each connection: many at a time, each answered on its own.

Plays the fault script of `sim.wire.faults`, as `sim.wire.server` does for a line. An emulator may let a command
wait: it returns None until the answer is there.
"""

import contextlib
import socket
import threading
import time
from typing import Protocol

from sim.wire.faults import FaultScript, WireFault, hit

_TICK_S = 0.003
_IDLE_S = 30.0


class CallDevice(Protocol):
    """A device that is called."""

    lock: threading.RLock

    def begin(self, frame: bytes) -> object:
        """Act on a command; return what `answer` is to be asked for."""

    def answer(self, call: object) -> bytes | None:
        """Return the answer to a command; None while it still works."""

    def refusal(self, frame: bytes) -> bytes:
        """Return the answer that refuses a command."""


class CallServer:
    """A thread that accepts, and one for each connection."""

    def __init__(
        self, device: CallDevice, *, port: int = 0, end: bytes = b"\r", faults: FaultScript | None = None
    ) -> None:
        self.device, self._end = device, end
        self.faults = faults if faults is not None else FaultScript()
        self.frames: list[bytes] = []
        """Every command that reached the device, as it did."""
        self._is_over, self._gone_until = threading.Event(), 0.0
        self._script_lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.05)
        self._thread = threading.Thread(target=self._serve, daemon=True, name="calls of an emulator")
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the TCP port as pyserial spells it."""
        return f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Accept no more."""
        self._is_over.set()
        self._thread.join(5.0)
        self._listener.close()

    def _serve(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(OSError):
                client, _ = self._listener.accept()
                threading.Thread(target=self._call, args=(client,), daemon=True, name="a call").start()

    def _call(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if time.monotonic() < self._gone_until:
                return
            client.settimeout(_IDLE_S)
            data = b""
            while self._end not in data:
                if not (chunk := client.recv(4096)):
                    return
                data += chunk
            self._play(client, data[: data.index(self._end) + len(self._end)])

    def _play(self, client: socket.socket, frame: bytes) -> None:
        with self._script_lock:
            due = self.faults.due(frame)
            if hit(due, WireFault.GARBLED_REQUEST):
                frame = self.faults.noise(frame)
            if not hit(due, WireFault.LOST_REQUEST):
                self.frames.append(frame)
        if hit(due, WireFault.LOST_REQUEST):
            self._is_over.wait(0.3)
            return
        if unsolicited := hit(due, WireFault.UNSOLICITED):
            client.sendall(unsolicited.data)
        refused = hit(due, WireFault.REFUSED)
        reply = self.device.refusal(frame) if refused else self._answered(frame, hit(due, WireFault.PORT_GONE) is None)
        if gone := hit(due, WireFault.PORT_GONE):
            self._gone_until = time.monotonic() + gone.wait_s
            return
        if late := hit(due, WireFault.LATE_REPLY):
            self._is_over.wait(late.wait_s)
        if forged := hit(due, WireFault.GARBLED_REPLY):
            reply = forged.data or self.faults.noise(reply)
        if hit(due, WireFault.LOST_REPLY):
            self._is_over.wait(0.3)
            return
        client.sendall(reply[: len(reply) // 2] if hit(due, WireFault.CUT_REPLY) else reply)

    def _answered(self, frame: bytes, waits: bool) -> bytes:
        with self.device.lock:
            call = self.device.begin(frame)
        while waits and not self._is_over.is_set():
            with self.device.lock:
                if (reply := self.device.answer(call)) is not None:
                    return reply
            time.sleep(_TICK_S)
        return b""
