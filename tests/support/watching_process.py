"""Await one plate in a process of its own, on the real clock, until it is taken."""

import sys
import time
from pathlib import Path

from drivers.ports import AcquirePlate, Status
from drivers.watched_folder import make


def main(lab: Path, watch: str, barcode: str, settle_s: float, is_copied: bool) -> None:
    device = make("imager", {"watch": watch, "settle_s": settle_s, "copy": is_copied}, lab)
    report = device.lookup("k")
    if report.status is Status.NOT_FOUND:
        device.submit(AcquirePlate(barcode), "k")
    while (report := device.poll("k")).status is Status.RUNNING:
        time.sleep(0.02)
    with (lab / "taken.log").open("a") as log:
        log.write(f"{time.time()} {report.status} {dict(report.result)} {report.message}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]), sys.argv[5] == "copy")
