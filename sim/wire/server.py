"""The wire itself: serves one emulator on a real pty and on a TCP port of this machine, and plays the fault script.

A pty has the path ``<folder>/<name>``, a link that stays the same when the port goes away and comes back. The TCP port
serves one connection at a time, as a serial device server does. A device that was sent half a frame keeps it.
"""

import contextlib
import os
import pty
import selectors
import socket
import threading
import time
import tty
from collections import deque
from collections.abc import Callable
from pathlib import Path

from sim.wire.emulator import Emulator
from sim.wire.faults import FaultScript, WireFault, hit

_CHUNK = 4096


class WireServer:
    """A thread that connects an emulator with whoever opens its port."""

    def __init__(
        self,
        emulator: Emulator,
        folder: Path,
        *,
        name: str = "port",
        port: int = 0,
        faults: FaultScript | None = None,
    ) -> None:
        self.emulator, self.faults = emulator, faults if faults is not None else FaultScript()
        self.pty_path = folder / name
        self.frames: list[bytes] = []
        """Every whole frame that reached the device, as it did."""
        self.sent: list[bytes] = []
        """Everything that left the device, as it did; some of it to nobody."""
        self._buffer = bytearray()
        self._outbox: deque[tuple[float, bytes]] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = os.pipe()
        self._selector.register(self._wake_in, selectors.EVENT_READ, lambda: self._drained())
        self._orders: deque[Callable[[], None]] = deque()
        self._master = self._slave = -1
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self._address = ("127.0.0.1", port)
        self._back_at: float | None = None
        self._is_over = False
        self._appear()
        self._thread = threading.Thread(target=self._serve, daemon=True, name=f"emulator {name}")
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the TCP port as pyserial spells it."""
        return f"socket://{self._address[0]}:{self._address[1]}"

    def vanish(self, wait_s: float) -> None:
        """Take the port away for so long, as if somebody had pulled its cable."""
        self._order(lambda: self._disappear(wait_s))

    def say(self, data: bytes) -> None:
        """Send bytes that nobody asked for."""
        self._order(lambda: self._outbox.append((0.0, data)))

    def close(self) -> None:
        """End the thread and take the port away."""
        self._order(self._end)
        self._thread.join(5.0)

    def __enter__(self) -> "WireServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _order(self, act: Callable[[], None]) -> None:
        self._orders.append(act)
        with contextlib.suppress(OSError):
            os.write(self._wake_out, b".")

    def _end(self) -> None:
        self._is_over = True

    def _serve(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select(self._timeout_s()):
                if key.fd in self._selector.get_map():
                    key.data()
            while self._orders:
                self._orders.popleft()()
            if self._back_at is not None and time.monotonic() >= self._back_at:
                self._appear()
            self._send_due()
        self._disappear(None)
        self._selector.close()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def _timeout_s(self) -> float | None:
        times = [self._outbox[0][0]] if self._outbox else []
        times += [self._back_at] if self._back_at is not None else []
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _drained(self) -> None:
        os.read(self._wake_in, _CHUNK)

    def _appear(self) -> None:
        self._back_at = None
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._selector.register(self._master, selectors.EVENT_READ, self._from_pty)
        with contextlib.suppress(FileNotFoundError):
            self.pty_path.unlink()
        self.pty_path.symlink_to(os.ttyname(self._slave))
        self._listener = socket.create_server(self._address)
        self._address = self._listener.getsockname()[:2]
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _disappear(self, wait_s: float | None) -> None:
        if self._master >= 0:
            self._selector.unregister(self._master)
            self.pty_path.unlink(missing_ok=True)
            os.close(self._slave)
            os.close(self._master)
            self._master = self._slave = -1
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
        self._hang_up()
        self._outbox.clear()
        if wait_s is not None:
            self._back_at = time.monotonic() + wait_s

    def _accept(self) -> None:
        if self._listener is None:
            return
        client, _ = self._listener.accept()
        if self._client is not None:
            client.close()
            return
        self._client = client
        self._selector.register(client, selectors.EVENT_READ, self._from_client)

    def _hang_up(self) -> None:
        if self._client is not None:
            self._selector.unregister(self._client)
            self._client.close()
            self._client = None

    def _from_pty(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._received(os.read(self._master, _CHUNK))

    def _from_client(self) -> None:
        data = b""
        if self._client is not None:
            with contextlib.suppress(OSError):
                data = self._client.recv(_CHUNK)
        if not data:
            self._hang_up()
        self._received(data)

    def _received(self, data: bytes) -> None:
        self._buffer += data
        for frame in self.emulator.split(self._buffer):
            if self._back_at is not None:
                return
            self._play(frame)

    def _play(self, frame: bytes) -> None:
        """Let the device act on a frame, as far as the script lets it come, and its answer go."""
        due = self.faults.due(frame)
        if hit(due, WireFault.LOST_REQUEST):
            return
        if hit(due, WireFault.GARBLED_REQUEST):
            frame = self.faults.noise(frame)
        self.frames.append(frame)
        with self.emulator.lock:
            refused = hit(due, WireFault.REFUSED)
            replies = [self.emulator.refusal(frame)] if refused else self.emulator.answer(frame)
        if unsolicited := hit(due, WireFault.UNSOLICITED):
            replies = [unsolicited.data, *replies]
        if gone := hit(due, WireFault.PORT_GONE):
            self._disappear(gone.wait_s)
        elif not hit(due, WireFault.LOST_REPLY):
            late = hit(due, WireFault.LATE_REPLY)
            at = time.monotonic() + late.wait_s if late else 0.0
            forged, cut = hit(due, WireFault.GARBLED_REPLY), hit(due, WireFault.CUT_REPLY)
            for reply in replies:
                if forged:
                    reply = forged.data or self.faults.noise(reply)
                self._outbox.append((at, reply[: len(reply) // 2] if cut else reply))

    def _send_due(self) -> None:
        """Send what is due, in order: behind a late answer all wait."""
        while self._outbox and self._outbox[0][0] <= time.monotonic():
            data = self._outbox.popleft()[1]
            with contextlib.suppress(OSError):
                if self._client is not None:
                    self._client.sendall(data)
                elif self._master >= 0:
                    os.write(self._master, data)
            self.sent.append(data)
