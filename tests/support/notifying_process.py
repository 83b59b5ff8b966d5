"""A notifier in a process of its own, for a test to kill: ``python notifying_process.py LAB``. Ends with its input."""

import sys
from pathlib import Path

from controller.lab import open_lab
from controller.notify.notifier import notifying
from controller.store import open_store


def main() -> None:
    lab = open_lab(Path(sys.argv[1]))
    with open_store(lab.database) as store, notifying(lab, store):
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
