"""A microscope that drops plates into a watched folder, and the folder's driver on a clock of the test's own."""

import json
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from drivers.watched_folder import WatchedFolder
from drivers.watched_options import read_options
from nextplate.plate import PLATE_96
from sim.imagexpress import write_htd

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
SETTLE_S = 60.0


class WatchedLab:
    """A lab folder, a share, and one driver; time passes only when told."""

    def __init__(self, lab: Path, **options: Any) -> None:
        self.lab, self.share = lab, lab.parent / f"{lab.name}-share"
        self.lab.mkdir(parents=True, exist_ok=True)
        self.share.mkdir(exist_ok=True)
        self.options = {"watch": str(self.share), "settle_s": SETTLE_S, **options}
        self.seconds = 0.0
        self.reopen()

    def reopen(self) -> None:
        """Start the driver as a new process does."""
        self.device = WatchedFolder(
            read_options(self.options, self.lab),
            self.lab,
            now=lambda: START + timedelta(seconds=self.seconds),
            monotonic=lambda: self.seconds,
            run=lambda function: function(),
        )

    def wait(self, key: str = "k", seconds: float = SETTLE_S, step: float = 10.0) -> Any:
        """Let time pass in steps, polling as the loop does; return the last report."""
        end = self.seconds + seconds
        report = self.device.poll(key)
        while self.seconds < end:
            self.seconds += step
            report = self.device.poll(key)
        return report


def plate_files(barcode: str, wells: Iterable[str] = ("A01", "A02"), waves: Iterable[int] = (1, 2)) -> list[str]:
    return [f"TimePoint_1/{barcode}_{well}_s1_w{wave}.TIF" for well in wells for wave in waves]


def write_plate(folder: Path, barcode: str, *, wells: tuple[str, ...] = ("A01", "A02"), htd: bool = True) -> Path:
    """Write a small ImageXpress plate whose HTD selects just these wells."""
    for name in plate_files(barcode, wells):
        write_image(folder / name)
    if htd:
        write_end(folder, barcode, wells)
    return folder


def write_image(path: Path, value: int = 7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full((8, 9), value, np.uint16), photometric="minisblack")
    return path


def write_end(folder: Path, barcode: str, wells: tuple[str, ...]) -> None:
    """Write the HTD, which selects these wells of row A only."""
    path = folder / f"{barcode}.HTD"
    folder.mkdir(parents=True, exist_ok=True)
    write_htd(path, barcode, "test", PLATE_96)
    flags = ", ".join("TRUE" if f"A{c:02d}" in wells else "FALSE" for c in range(1, 13))
    lines = path.read_text("latin-1").splitlines()
    off = ", ".join(["FALSE"] * 12)
    kept = [
        f'"WellsSelection{line[15]}", {flags if line[15] == "1" else off}' if "WellsSelection" in line else line
        for line in lines
    ]
    path.write_text("\r\n".join(kept) + "\r\n", "latin-1")


def set_times(folder: Path, seconds: float) -> None:
    """Date every file of a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (seconds, seconds))


class OrderedMicroscope:
    """Takes order files, images plate P1 and no other, and keeps a log of what it did."""

    def __init__(self, share: Path, orders: Path) -> None:
        self.share, self.orders, self.log = share, orders, share.parent / "imaged.log"

    def waiting(self) -> list[dict[str, Any]]:
        bodies = [json.loads(p.read_bytes()) for p in sorted(self.orders.glob("[!.]*.json"))]
        return [b for b in bodies if b["key"] not in self._done()]

    def begin(self) -> None:
        for order in self.waiting():
            write_plate(self.share / order["barcode"], order["barcode"], htd=False)

    def work(self) -> None:
        for order in self.waiting():
            with self.log.open("a") as log:
                log.write(f"{order['key']}\n")
            if order["barcode"] == "P1":
                shutil.rmtree(self.share / "P1", ignore_errors=True)
                write_plate(self.share / "P1", "P1")

    def effects(self) -> int:
        return len(self._done())

    def _done(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []
