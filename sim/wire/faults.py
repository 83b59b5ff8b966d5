"""What may go wrong on a wire, and a script of when it does."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np


class WireFault(StrEnum):
    """One way for a frame to go wrong."""

    LOST_REQUEST = "request-lost"
    """The device never gets the frame."""
    GARBLED_REQUEST = "request-garbled"
    """The device gets another frame."""
    REFUSED = "refused"
    """The device answers with its own refusal and does nothing."""
    LOST_REPLY = "reply-lost"
    """The device acts, its answer does not arrive."""
    GARBLED_REPLY = "reply-garbled"
    """The device acts; one byte of its answer is another, or all of it is `Fault.data`."""
    CUT_REPLY = "reply-cut"
    """The device acts; half of its answer arrives."""
    LATE_REPLY = "reply-late"
    """The device acts; its answer and all later ones come `Fault.wait_s` later."""
    UNSOLICITED = "unsolicited"
    """Before the answer comes `Fault.data`, which nobody asked for."""
    PORT_GONE = "port-gone"
    """The device acts; the port is gone for `Fault.wait_s`, then comes back."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a script."""

    kind: WireFault
    nth: int = 1
    """It hits the nth frame that matches, from 1."""
    match: str = ""
    """Regular expression found in the frame; "" for every frame."""
    times: int = 1
    """So many matching frames in a row."""
    wait_s: float = 0.15
    """Of the wall's clock."""
    data: bytes = b""


@dataclass(slots=True)
class FaultScript:
    """The faults of one device, and how many frames each has seen."""

    faults: list[Fault] = field(default_factory=list)
    seed: int = 1
    _seen: dict[int, int] = field(default_factory=dict)
    _n_noise: int = 0

    def add(self, *faults: Fault) -> None:
        """Add faults; they count frames from now on."""
        self.faults.extend(faults)

    def clear(self) -> None:
        """Take every fault back."""
        self.faults.clear()
        self._seen.clear()

    def due(self, frame: bytes) -> list[Fault]:
        """Count a frame from the controller and return the faults that hit it."""
        text = frame.decode("latin-1")
        hits = []
        for number, fault in enumerate(self.faults):
            if re.search(fault.match, text):
                self._seen[number] = n = self._seen.get(number, 0) + 1
                if fault.nth <= n < fault.nth + fault.times:
                    hits.append(fault)
        return hits

    def noise(self, data: bytes) -> bytes:
        """Change one byte; its last one, the end of a line, stays."""
        self._n_noise += 1
        rng = np.random.default_rng([self.seed, self._n_noise])
        at = int(rng.integers(max(len(data) - 1, 1)))
        wrong = (data[at] + int(rng.integers(1, 256))) % 256 if data else 0
        return data[:at] + bytes([wrong]) + data[at + 1 :]


def hit(faults: Iterable[Fault], kind: WireFault) -> Fault | None:
    """Return the first fault of a kind; None when there is none."""
    return next((fault for fault in faults if fault.kind is kind), None)
