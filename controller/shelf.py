"""The lab's beliefs as models on a shelf: which there are, which is deployed, what each says of itself.

Which belief is deployed is no file: it follows from the journal (``controller.recipe.deployed_round``), so that one
committed event, a calibration that passed its gates or an operator's rollback, changes it, wholly or not at all.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.files import full_disk_named, sync_entry, sync_folder
from controller.lab import open_lab
from controller.recipe import deployed_round, has_passed
from controller.state import LabState, fold
from controller.store import open_store
from nextplate.errors import DataError, ModelFileError

JSON = Mapping[str, Any]


def list_models(folder: Path) -> dict[str, Any]:
    """List the campaign's beliefs, oldest first; a damaged one is listed with its problem.

    Raises:
        DataError: no campaign was started.
    """
    state = _state(folder)
    used = deployed_round(state, _last(state))
    models = [_model(folder, state, r, is_deployed=r == used) for r in range(_last(state) + 1) if _fitted(state, r)]
    return {"campaign": state.campaign.name if state.campaign else "", "models": models}


def _state(folder: Path) -> LabState:
    with open_store(open_lab(folder).database) as store:
        state = fold(store.events())
    if state.campaign is None:
        raise DataError(f"{folder}: no campaign has been started, so there is no belief; start one: nextplate run")
    return state


def _last(state: LabState) -> int:
    return state.campaign.rounds if state.campaign else 0


def _fitted(state: LabState, r: int) -> bool:
    outcome = state.outcome("fit", r)
    return outcome is not None and outcome.is_done


def _model(folder: Path, state: LabState, r: int, *, is_deployed: bool) -> dict[str, Any]:
    fit, calibrated = state.outcomes[state.latest_key("fit", r)].result, state.outcome("calibrate", r)
    done = calibrated is not None and calibrated.is_done
    path = folder / fit["folder"] / "belief"
    return {
        "round": r + 1,
        "folder": path.as_posix(),
        "status": _status(state, r, is_deployed=is_deployed, is_calibrated=done),
        "n_compounds": fit["summary"]["n_compounds"],
        "n_hits": fit["summary"]["n_hits"],
        "rmse": fit["summary"]["rmse"],
        "rmse_error": fit["summary"]["rmse_error"],
        "notes": fit["summary"].get("notes", []),
        "gates": list(calibrated.result["summary"].get("gates", ())) if calibrated is not None and done else [],
        **_card_facts(path, state),
    }


def _status(state: LabState, r: int, *, is_deployed: bool, is_calibrated: bool) -> str:
    if not is_calibrated:
        return "fitted"
    if is_deployed:
        return "deployed" if has_passed(state, r) else "used for want of one that passed"
    if r in state.withdrawn:
        return f"rolled back by {state.withdrawn[r]}"
    return "passed" if has_passed(state, r) else "kept out by its gates"


def _card_facts(path: Path, state: LabState) -> dict[str, Any]:
    from nextplate.models.storage import read_card

    try:
        card = read_card(path)
    except ModelFileError as error:
        return {"kind": None, "problem": f"{error}; {_remedy(state)}"}
    return {"kind": card["kind"], "problem": None}


def _remedy(state: LabState) -> str:
    """Say what can be done about a damaged belief: a rollback is taken only while plates are still chosen."""
    if state.is_finished or state.is_aborted:
        return "the campaign is over: put the file back from a copy, or show or export the belief of another round"
    return "put the file back from a copy, or go back to an earlier belief (nextplate model rollback ROUND)"


def show_model(folder: Path, number: int | None) -> dict[str, Any]:
    """Return all that is known of one belief, its card included, after checking every file of it.

    Args:
        folder: of the lab.
        number: its round, counting from 1; None: the deployed one.

    Raises:
        DataError: there is none of that round.
        ModelFileError: its folder is not whole.
    """
    from nextplate.models.storage import read_card

    found = _find(list_models(folder), number)
    if found["problem"] is not None:
        raise ModelFileError(found["problem"])
    return {**found, "card": dict(read_card(Path(found["folder"])))}


def _find(listed: JSON, number: int | None) -> dict[str, Any]:
    models: list[dict[str, Any]] = listed["models"]
    in_use = ("deployed", "used for want of one that passed")
    for model in models:
        if model["round"] == number or (number is None and model["status"] in in_use):
            return model
    known = ", ".join(str(m["round"]) for m in models) or "none"
    what = "no belief is deployed yet" if number is None else f"round {number} has no belief"
    raise DataError(f"{what} (rounds with one: {known})")


def refuse_damaged(folder: Path, number: int) -> None:
    """Refuse to go back to a belief whose files are not whole; rounds without a belief are not looked at.

    Raises:
        ModelFileError: a file of it is missing, cut short or altered.
    """
    for model in list_models(folder)["models"]:
        if model["round"] == number and model["problem"] is not None:
            raise ModelFileError(model["problem"])


def export_model(folder: Path, number: int | None, out: Path) -> dict[str, Any]:
    """Copy a belief, checked file by file before and after, to a new folder that is whole or absent.

    Raises:
        DataError: there is none of that round, or something is at ``out`` already.
        ModelFileError: its folder is not whole.
    """
    from nextplate.models.storage import read_card

    if out.exists():
        raise DataError(f"{out}: exists already; name a new folder")
    shown = show_model(folder, number)
    scratch = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with full_disk_named(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(shown["folder"], scratch)
            read_card(scratch)
            for inner in (*(p for p in scratch.rglob("*") if p.is_dir()), scratch):
                sync_folder(inner)
            scratch.rename(out)
            sync_entry(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {"round": shown["round"], "kind": shown["kind"], "out": str(out), "files": len(shown["card"]["sha256"]) + 1}


def list_text(body: JSON) -> str:
    """Set the beliefs as a table."""
    head = f"{'round':>5} {'kind':<10} {'compounds':>9} {'hits':>5} {'RMSE out of fold':>20}  status"
    return "\n".join([f"campaign {body['campaign']}", "", head, *map(_line, body["models"])])


def _line(model: JSON) -> str:
    rmse = "not determined" if model["rmse"] is None else f"{model['rmse']:.3f} +- {model['rmse_error'] or 0:.3f}"
    told = "".join(f"\n      {text}" for text in _warnings(model))
    counts = f"{model['n_compounds']:>9} {model['n_hits']:>5}"
    return f"{model['round']:>5} {model['kind'] or 'DAMAGED':<10} {counts} {rmse:>20}  {model['status']}{told}"


def _warnings(model: JSON) -> list[str]:
    shut = [f"{gate['name']}: {gate['told']}" for gate in model["gates"] if not gate["is_passed"]]
    return [*([model["problem"]] if model["problem"] else []), *shut, *model["notes"]]


def show_text(body: JSON) -> str:
    """Say in a few lines what a belief is."""
    card, learned = body["card"], body["card"]["learned"]
    metrics = ", ".join(f"{k} {v:.4g}" for k, v in card["metrics"].items() if v is not None) or "none"
    gates = [f"gate      {g['name']}: {'passed' if g['is_passed'] else 'SHUT'}; {g['told']}" for g in body["gates"]]
    return "\n".join(
        [
            f"belief    of round {body['round']}, kind {card['kind']}: {body['status']}",
            f"learned   {learned['n_labels']} labels ({body['n_hits']} hits), data {learned['data_digest'][:12]}, "
            f"library {learned['library_digest'][:12]}",
            f"metrics   {metrics}",
            *gates,
            *(f"note      {note}" for note in body["notes"]),
            f"made by   nextplate {card['nextplate']}, seed {learned['seed']}",
            f"folder    {body['folder']} ({len(card['sha256']) + 1} files, all as they were written)",
        ]
    )
