"""The readout of an imager that is driven, and whose images appear in a folder: waited for, judged, and brought in.

What counts as the readout of a plate is the watched folder's (`drivers.watched_look`): new, of this barcode, whole.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drivers.deadline import Deadline
from drivers.ports import AcquirePlate, Report, Status
from drivers.watched_look import Candidate, Eye
from drivers.watched_memory import Awaited
from drivers.watched_options import WatchOptions
from drivers.watched_take import Arriving, SourceChanged, bring_in, plain_name
from drivers.worker_memory import JSON
from nextplate.errors import Transient

WATCH: Mapping[str, type] = {
    "depth": int, "barcode_pattern": str, "settle_s": float, "copy": bool, "reader": str, "several": str, "wells": int,
    "fields": int, "channels": int,
}  # fmt: skip
"""Options of `drivers.watched_options` that such an imager has too."""


class Readouts:
    """The folder in which the readouts of one imager appear."""

    def __init__(self, watch: WatchOptions, lab: Path, poll_s: float) -> None:
        self._watch, self._lab, self._poll_s = watch, lab, poll_s

    def asked(self, barcode: str) -> JSON:
        """Return what lies there before a plate is imaged, for its plan.

        Raises:
            Transient: the folder cannot be read.
        """
        try:
            before = Eye(self._watch, time.monotonic).snapshot(barcode)
        except OSError as error:
            raise Transient(f"{self._watch.watch} cannot be read ({error}); is the share mounted?") from error
        return {"before": before, "asked_at": datetime.now(UTC).isoformat()}

    def wait(self, command: AcquirePlate, plan: JSON, until: Deadline, *, patience_s: float | None = None) -> Report:
        """Wait for the whole readout of this barcode, and bring it into the lab.

        ``patience_s``: after which nothing of it being there is an answer; None: as long as the deadline allows.
        """
        asked_at = datetime.fromisoformat(plan["asked_at"])
        awaited = Awaited(str(plan["run"]), command.barcode, asked_at, dict(plan["before"]))
        eye, enough = Eye(self._watch, time.monotonic), until if patience_s is None else until.within(patience_s)
        while True:
            try:
                verdict = eye.look(awaited, "")
                if verdict.take is not None:
                    return self._taken(command, verdict.take)
                said = verdict.question or "; ".join(verdict.reasons)
                is_over = until.is_over or (enough.is_over and not verdict.is_moving)
                if verdict.question and is_over:
                    return Report(Status.UNKNOWN, _nothing(command), f"{said}; look which is its readout")
            except (OSError, SourceChanged) as error:
                said, is_over = str(error), until.is_over
            if is_over:
                return self.failed(command, f"no whole readout of {command.barcode} in {self._watch.watch}: {said}")
            until.pause(self._poll_s)

    def failed(self, command: AcquirePlate, message: str) -> Report:
        """Return that there is no readout."""
        return Report(Status.FAILED, _nothing(command), message)

    def _taken(self, command: AcquirePlate, found: Candidate) -> Report:
        stand = found.stand
        source = self._watch.watch / found.name
        readout = Arriving(source, stand.inventory, command.barcode, self._watch.is_copied)
        folder = bring_in(readout, self._lab, lambda: None)
        return Report(Status.DONE, {"folder": folder, "images": stand.n_images})


def _nothing(command: AcquirePlate) -> dict[str, Any]:
    return {"folder": f"readouts/{plain_name(command.barcode)}", "images": 0}
