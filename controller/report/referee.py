"""Ask the simulated lab's referee, which knows the hidden truth, for its aggregate counts.

A real lab has no referee. The answer is kept beside the reports under the hash of the journal's head, as the
similarity search takes seconds and one state of the journal has one answer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controller.files import write_text
from controller.lab import Lab
from controller.lock import lab_lock
from nextplate.errors import DataError, LabBusy

JSON = Mapping[str, Any]
_KEPT = "referee.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the referee says."""

    body: JSON | None
    """sim.referee.RefereeReport as JSON, its Confusion under ``confusion``; None when there is no answer."""
    why: str
    """Why there is none."""


Ask = Callable[[Lab, str, Sequence[Sequence[str]], Sequence[str]], Verdict]
"""(lab, hash of the journal's head, compounds tested in each round, compounds called hits) -> verdict."""


def is_simulated(lab: Lab) -> bool:
    """Tell whether every device of the lab is simulated and the simulated lab exists."""
    return all(d.driver == "sim" for d in lab.settings.device) and (lab.folder / "sim").is_dir()


def ask_referee(lab: Lab, head: str, tested_by_round: Sequence[Sequence[str]], called: Sequence[str]) -> Verdict:
    """Ask how many true hits were tested, beside the two baselines, and how many of the calls are right.

    The lab is locked meanwhile: opening a simulated lab moves its clock to where a running campaign waits.
    """
    if not is_simulated(lab):
        return Verdict(None, "a real lab: nobody knows the truth about compounds that were not tested")
    if not any(tested_by_round):
        return Verdict(None, "no compound has been tested yet")
    kept = lab.folder / "reports" / _KEPT
    body = _kept(kept, head)
    if body is not None:
        return Verdict(body, "")
    try:
        with lab_lock(lab.folder, "nextplate report", lab.database):
            body = _asked(lab, tested_by_round, called)
    except LabBusy as error:
        return Verdict(None, f"the simulated lab is in use ({error}); write the report again when it stands still")
    except DataError as error:
        return Verdict(None, f"the simulated lab cannot answer: {error}")
    write_text(kept, json.dumps({"head": head, "report": body}, sort_keys=True))
    return Verdict(body, "")


def _kept(path: Path, head: str) -> JSON | None:
    if not path.is_file():
        return None
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None  # only a copy: it is made anew
    found: JSON | None = body["report"] if isinstance(body, dict) and body.get("head") == head else None
    return found


def _asked(lab: Lab, tested_by_round: Sequence[Sequence[str]], called: Sequence[str]) -> JSON:
    from controller.app import connect

    hardware = connect(lab)
    try:
        if hardware.simulated is None:
            raise DataError("its devices are not simulated")
        referee = hardware.simulated.referee
        body: JSON = json.loads(referee.curves(tested_by_round).to_json())
        tested = {name for names in tested_by_round for name in names}
        return {**body, "confusion": asdict(referee.confusion(called, tested))}
    finally:
        hardware.close()
