"""An answering machine: plays the software of a lab behind the folder driver."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

JSON = dict[str, Any]
Answer = Callable[[JSON], JSON]
"""From a request to status, result and message."""


class LabSoftware:
    """Answers every request once; what it did stands in a log of its own, which outlives the process."""

    def __init__(self, exchange: Path, answer: Answer) -> None:
        self.exchange, self._answer = exchange, answer
        self.log = exchange / "done.log"

    def waiting(self) -> list[JSON]:
        """Requests without a final reply, in the order of their keys."""
        found = [json.loads(p.read_bytes()) for p in sorted((self.exchange / "requests").glob("*.json"))]
        return [r for r in found if self._status(r) not in ("done", "failed")]

    def work(self) -> int:
        """Do and answer what waits; return how much that was."""
        waiting = self.waiting()
        for request in waiting:
            with self.log.open("a") as log:
                log.write(f"{request['key']}\n")
            self.reply(request, self._answer(request))
        return len(waiting)

    def begin(self) -> None:
        for request in self.waiting():
            self.reply(request, {"status": "running"})

    def effects(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def reply(self, request: JSON, body: Mapping[str, Any]) -> None:
        path = self._path(request)
        scratch = path.with_suffix(".part")
        scratch.write_text(json.dumps({"key": request["key"], **body}))
        scratch.replace(path)

    def _path(self, request: JSON) -> Path:
        (name,) = (
            p.name
            for p in (self.exchange / "requests").glob("*.json")
            if json.loads(p.read_bytes())["key"] == request["key"]
        )
        return self.exchange / "replies" / name

    def _status(self, request: JSON) -> str:
        path = self._path(request)
        return str(json.loads(path.read_bytes())["status"]) if path.exists() else ""


def small_answers(lab: Path) -> Answer:
    """A lab that knows plate P1 only, never uses a tip twice, and looks before it grips."""

    def answer(request: JSON) -> JSON:
        command = request["command"]
        match command["verb"]:
            case "run-load":
                return _pipetted(command["transfers"])
            case "move":
                return _carried(command["moves"])
        result = {"store": {"slot": "07"}, "fetch": {}, "acquire": {"folder": "readouts/P1", "images": 2}}
        if command["barcode"] != "P1":
            message = f"{command['barcode']} is not here"
            told = {"folder": f"readouts/{command['barcode']}", "images": 0} if command["verb"] == "acquire" else {}
            return {"status": "failed", "message": message, "result": told}
        if command["verb"] == "acquire":
            (lab / "readouts" / "P1").mkdir(parents=True, exist_ok=True)
        return {"status": "done", "result": result[command["verb"]], "message": ""}

    return answer


def _pipetted(transfers: list[JSON]) -> JSON:
    done: list[list[int]] = []
    used: set[str] = set()
    for t in transfers:
        if t["tip_well"] in used:
            return {"status": "failed", "message": f"no tip in {t['tip_well']}", "result": {"transfers": done}}
        used.add(t["tip_well"])
        done.append([t["transfer_id"], t["volume_nl"]])
    return {"status": "done", "result": {"transfers": done}}


def _carried(moves: list[JSON]) -> JSON:
    places: dict[str, str] = {}
    moved: list[str] = []
    for move in moves:
        if places.get(move["barcode"], move["source"]) != move["source"]:
            message = f"{move['barcode']} is at {places[move['barcode']]}"
            return {"status": "failed", "message": message, "result": {"moved": moved}}
        places[move["barcode"]] = move["target"]
        moved.append(move["barcode"])
    return {"status": "done", "result": {"moved": moved}}
