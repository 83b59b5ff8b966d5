"""A process that a test kills: hands one load to a Flex as the controller does, and prints how it ended.

Arguments: lab folder, url, folder of the protocol's files, key.
"""

import hashlib
import sys
import time
from pathlib import Path

from drivers.opentrons import make
from drivers.ports import RunLoad, Status
from protocols.model import Protocol

if __name__ == "__main__":
    lab, url, folder, key = sys.argv[1:]
    files = Path(folder)
    options = {"url": url, "robot": "flex", "poll_s": 0.01, "settle_s": 0.2, "patience_s": 10.0, "lost_s": 10.0}
    device = make("liquid-handler", options, Path(lab))
    digest = Protocol.from_json((files / "protocol.json").read_text()).digest
    sha = hashlib.sha256((files / "load-0.py").read_bytes()).hexdigest()
    command = RunLoad(files / "protocol.json", files / "load-0.py", digest, 0, sha)
    report = device.lookup(key)
    print("lookup", report.status.value, flush=True)
    if report.status is Status.NOT_FOUND:
        device.submit(command, key)
    while (report := device.poll(key)).status is Status.RUNNING:
        time.sleep(0.005)
    print("end", report.status.value, report.message, flush=True)
    device.close()
