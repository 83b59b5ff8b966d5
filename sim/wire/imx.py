"""An ImageXpress Micro on its serial line; from facts/devices.md 4.8, and from no driver.

A run writes a small readout of the plate on its stage, as the microscope's software does, when it ends.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nextplate.plate import PlateFormat, well_name
from sim.imagexpress import describe, image_path, write_htd, write_image
from sim.wire.emulator import Act, split_lines
from sim.wire.time import EmulatedTime

_GRID = PlateFormat(2, 3)
_STAGE_S = 3.0
_FIELD_PX = 8


@dataclass(slots=True)
class Microscope:
    """The stage and what it images."""

    time: EmulatedTime
    out: Path
    run_s: float = 60.0
    plate: str | None = None
    label: str = ""
    """What the files are named after; "" for the plate on the stage."""
    place: str = "LOAD"
    phase: str = "READY"
    error: int = 0
    next_error: int = 0
    """With which the next run stops; 0: with none."""
    writes_files: bool = True
    """False: the run ends, and its files never appear."""
    log: list[Act] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _due: tuple[float, str] | None = None

    def goto(self, place: str) -> None:
        """Begin to move the stage."""
        if self.phase == "RUNNING":
            self.violations.append("the stage was moved in the midst of a run")
        self.phase, self.place = "MOVING", place
        self._due = (self.time.now_s() + _STAGE_S, place)

    def run(self) -> None:
        """Begin to image."""
        if self.place != "SAMPLE":
            self.violations.append("a run was asked for with the stage outside")
        self.phase, self._due = "RUNNING", (self.time.now_s() + self.run_s, "run")
        self.log.append(Act(self.time.now_s(), "run", self.plate or "", "stage"))

    def advance(self) -> None:
        """Let happen what was due by now."""
        if self._due is None or self.time.now_s() < self._due[0]:
            return
        what, self._due = self._due[1], None
        if what != "run":
            self.phase = "READY"
        elif self.next_error or self.plate is None:
            self.phase, self.error, self.next_error = "ERROR", self.next_error or 14, 0
        else:
            if self.writes_files:
                self._write(self.label or self.plate)
            self.phase = "DONE"

    def lose_power(self) -> None:
        """Stop; it is offline when it comes back."""
        self.phase, self.error, self._due = "ERROR", 1, None

    def _write(self, barcode: str) -> None:
        folder = self.out / f"{barcode}_{len(self.log)}"
        for row in range(_GRID.n_rows):
            for column in range(_GRID.n_columns):
                well = well_name(row, column)
                for wave in (1, 2):
                    text = describe(barcode, well, wave, _FIELD_PX, 0.65, _GRID)
                    pixels = np.full((_FIELD_PX, _FIELD_PX), 100 + wave, np.uint16)
                    write_image(image_path(folder, barcode, well, wave), pixels, text)
        write_htd(folder / f"{barcode}.HTD", barcode, folder.name, _GRID)


class ImxEmulator:
    """The line: one command, one comma-separated answer."""

    def __init__(self, time: EmulatedTime, out: Path) -> None:
        self.time, self.lock = time, threading.RLock()
        self.scope = Microscope(time, out)

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole lines."""
        return split_lines(buffer, b"\r\n")

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return the answer of one that is busy."""
        return b"1,ERROR,5\r\n"

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a line."""
        self.scope.advance()
        words = frame.decode("latin-1").strip().split(",")
        return [f"1,{self._answered(words)}\r\n".encode()]

    def power_cycle(self) -> None:
        """Switch it off and on."""
        with self.lock:
            self.scope.advance()
            self.scope.lose_power()

    def _answered(self, words: list[str]) -> str:
        scope = self.scope
        match words:
            case ["1", "STATUS"]:
                return self._status()
            case ["1", "ONLINE"]:
                if scope.phase == "ERROR" and scope.error == 1:
                    scope.phase, scope.error = "READY", 0
                return "OK"
            case ["1", "GOTO", ("LOAD" | "SAMPLE") as place]:
                if scope.phase in ("RUNNING", "ERROR"):
                    return f"ERROR,{scope.error or 3}"
                scope.goto(place)
                return "OK"
            case ["1", "RUN", "", path]:
                if scope.phase in ("RUNNING", "MOVING", "ERROR"):
                    return f"ERROR,{scope.error or 3}"
                if not path.lower().endswith(".hts"):
                    return "ERROR,8"
                scope.run()
                return "OK"
        return "ERROR,8"

    def _status(self) -> str:
        scope = self.scope
        match scope.phase:
            case "ERROR":
                return f"ERROR,{scope.error}"
            case "RUNNING" | "MOVING":
                return "RUNNING,,"
            case "DONE":
                return "DONE,"
        return f"READY,{scope.place}"


if __name__ == "__main__":
    from sim.wire.by_hand import serve

    serve("imx")
