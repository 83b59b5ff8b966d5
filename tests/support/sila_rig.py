"""A real SiLA 2 server in a process of its own (sila_server), and the bridge's devices on it."""

import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import sila_server

from drivers.sila import make
from drivers.worker import WorkerDevice

MAPPINGS = {
    "incubator": """
        [StorePlate]
        feature = "PlateHotel"
        command = "Store"
        parameters = { Barcode = "{barcode}", Gate = 1 }
        result = { slot = "Site" }
        [FetchPlate]
        feature = "PlateHotel"
        command = "Fetch"
        parameters = { Barcode = "{barcode}" }
        [state]
        "plate on the gate" = "PlateHotel.PlateOnGate"
        """,
    "plate-mover": """
        [MovePlates]
        feature = "PlateHotel"
        command = "Move"
        parameters = { Barcode = "{barcode}", From = "{source}", To = "to {target}" }
        [places]
        "stack/new" = "Stack1"
        "deck/A1" = "Nest7"
        """,
    "shaker": """
        [ShakePlate]
        feature = "PlateHotel"
        command = "Shake"
        parameters = { Speed = "{speed_rpm}", Duration = "{duration_s}" }
        """,
    "barcode-reader": """
        [ReadBarcode]
        feature = "PlateHotel"
        command = "Scan"
        result = { barcode = "Code" }
        """,
}


class Hotel:
    """The server's process, and a lab folder."""

    def __init__(self, folder: Path, mode: str = "insecure") -> None:
        self.folder, self.lab, self._mode = folder / "server", folder / "lab", mode
        self.folder.mkdir()
        self.lab.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.devices: list[WorkerDevice] = []
        self.start()

    def start(self) -> None:
        arguments = [sys.executable, sila_server.__file__, str(self.port), str(self.folder), self._mode]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"serving\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def device(self, kind: str, **options: Any) -> WorkerDevice:
        (self.lab / "hotel.toml").write_text(MAPPINGS[kind])
        said = {"address": "127.0.0.1", "port": self.port, "mapping": "hotel.toml", "poll_s": 0.02, "reply_s": 10.0}
        self.devices.append(make(kind, {**said, **(options or {"insecure": True})}, self.lab))
        return self.devices[-1]

    def effects(self) -> list[str]:
        log = self.folder / "effects.log"
        return log.read_text().splitlines() if log.exists() else []

    def hold(self) -> None:
        (self.folder / "slow").touch()

    def release(self) -> None:
        (self.folder / "slow").unlink(missing_ok=True)

    def close(self) -> None:
        for device in self.devices:
            device.close()
        self.kill()


class Shared:
    """One server for all tests of a process, started when one needs it."""

    def __init__(self) -> None:
        self._hotel: Hotel | None = None

    def hotel(self) -> Hotel:
        if self._hotel is None:
            self._hotel = Hotel(Path(tempfile.mkdtemp(prefix="sila-")))
        return self._hotel

    def close(self) -> None:
        if self._hotel is not None:
            self._hotel.close()
            shutil.rmtree(self._hotel.folder.parent)
            self._hotel = None


SHARED = Shared()


class Corner:
    """A lab of its own on the shared server."""

    def __init__(self, folder: Path) -> None:
        self.hotel, self._lab = SHARED.hotel(), folder / "lab"
        self._lab.mkdir(parents=True)
        self._n_before = len(self.hotel.effects())
        self.memory = self._lab / "logs" / "devices" / "incubator"

    def open(self, lookup_wait_s: float) -> WorkerDevice:
        """Open the incubator, as a process does."""
        self.hotel.lab = self._lab
        device = self.hotel.device("incubator")
        device._lookup_wait_s = lookup_wait_s
        return device

    def n_effects(self) -> int:
        return len(self.hotel.effects()) - self._n_before

    def is_noted(self) -> bool:
        """Say whether the driver knows its execution: what was begun and is not noted yet is UNKNOWN, and rightly."""
        return any('"execution": "' in path.read_text() for path in (self.memory / "executions").glob("*.json"))

    def close(self) -> None:
        self.hotel.release()
        for device in self.hotel.devices:
            device.close()
        self.hotel.devices.clear()
