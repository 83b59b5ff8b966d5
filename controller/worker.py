"""The worker process: reads jobs as JSON lines, runs their steps, answers in JSON lines."""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from controller.step import run_step
from nextplate.errors import DiskFull, NextplateError


def main() -> None:
    """Serve until standard input ends. Ctrl-C is the controller's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lab = Path(sys.argv[1])
    answers = _claim_stdout(lab)
    for line in sys.stdin:
        job = json.loads(line)
        _answer(answers, _work(lab, job, answers))


def _claim_stdout(lab: Path) -> TextIO:
    """Keep the pipe for answers alone: whatever a library prints goes to the log."""
    answers = os.fdopen(os.dup(1), "w")
    (lab / "logs").mkdir(parents=True, exist_ok=True)
    log = os.open(lab / "logs" / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return answers


def _work(lab: Path, job: dict[str, Any], answers: TextIO) -> dict[str, Any]:
    def progress(done: int, total: int) -> None:
        _answer(answers, {"kind": "progress", "step": job["step"], "done": done, "total": total})

    try:
        result = run_step(lab, job["step"], job["inputs"], job["params"], progress)
    except DiskFull as error:
        return {"kind": "full", "key": job["key"], "result": {}, "message": str(error)}
    except NextplateError as error:
        return {"kind": "failed", "key": job["key"], "result": {}, "message": str(error)}
    except Exception as error:
        # The boundary of the process: a bug in a step must reach the journal as a failure, with its trace in the log.
        traceback.print_exc()
        message = f"{type(error).__name__}: {error} (a bug; the trace is in logs/worker.log)"
        return {"kind": "failed", "key": job["key"], "result": {}, "message": message}
    return {"kind": "done", "key": job["key"], "result": result, "message": ""}


def _answer(answers: TextIO, body: dict[str, Any]) -> None:
    answers.write(json.dumps(body) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
