"""A process that a test kills: hands one command to a SiLA 2 server as the controller does, and prints how it ended.

Arguments: lab folder, port, barcode, key.
"""

import sys
import time
from pathlib import Path

from drivers.ports import Status, StorePlate
from drivers.sila import make

if __name__ == "__main__":
    lab, port, barcode, key = sys.argv[1:]
    options = {"address": "127.0.0.1", "port": int(port), "insecure": True, "mapping": "hotel.toml", "poll_s": 0.02}
    device = make("incubator", options, Path(lab))
    device.submit(StorePlate(barcode), key)
    while (report := device.poll(key)).status is Status.RUNNING:
        time.sleep(0.005)
    print("end", report.status.value, report.message, flush=True)
    device.close()
