"""A process that a test kills: hands one command to a LiCONiC as the controller does, and prints how it ended.

Arguments: lab folder, port, store or fetch, barcode, key, and "service" where the port is the STX Driver's.
"""

import sys
import time
from pathlib import Path

from drivers import liconic, liconic_service
from drivers.ports import FetchPlate, Status, StorePlate

if __name__ == "__main__":
    lab, port, verb, barcode, key, *service = sys.argv[1:]
    options = {"port": port, "cassettes": 3, "levels": 4, "poll_s": 0.01, "patience_s": 0.2, "reply_s": 0.5}
    make, more = (liconic_service.make, {"move_s": 10.0}) if service else (liconic.make, {"site_height_mm": 17.0})
    device = make("incubator", {**options, **more, "handling_s": 30.0}, Path(lab))
    report = device.lookup(key)
    print("lookup", report.status.value, flush=True)
    if report.status is Status.NOT_FOUND:
        device.submit(StorePlate(barcode) if verb == "store" else FetchPlate(barcode), key)
    while (report := device.poll(key)).status is Status.RUNNING:
        time.sleep(0.005)
    print("end", report.status.value, report.message, flush=True)
    device.close()
