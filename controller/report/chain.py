"""The id chain of a well: campaign, round, plate, well, images, measurement, response, belief, pick, transfer, run."""

import hashlib
from pathlib import Path

from controller.recipe import deployed_round
from controller.report.model import Link, PickView, PlateView, WellView
from controller.report.source import Source
from protocols.model import Protocol, Transfer

_SHORT = 16


def gather_chain(source: Source, plate: PlateView, well: WellView, pick: PickView) -> tuple[Link, ...]:
    """Follow a measured compound well down to its pixels and up to the action that filled it."""
    r = plate.round
    return (
        Link("campaign", f"{source.plan.name}, seed {source.plan.seed}", f"journal event {source.events[0].seq}"),
        Link("round", str(r + 1), f"journal, keys {source.plan.name}.r{r}.*"),
        Link("plate", plate.barcode, _at(source, "layout", r, "layout.csv")),
        Link("well", _well(well), f"{_at(source, 'layout', r, 'layout.csv')}, line of {well.well}"),
        *_images(source, plate, well),
        Link("measurement", _cells(well), f"{_at(source, 'measure', r, 'wells.parquet')}, well {well.well}"),
        Link("", _step(source, "measure", r), f"nuclei one by one: {_at(source, 'measure', r, 'cells.parquet')}"),
        Link("response", _response(well), f"{_at(source, 'normalise', r, 'responses.parquet')}, well {well.well}"),
        Link("", _step(source, "normalise", r), _seq(source, "normalise", r)),
        *_belief(source, r),
        Link("pick", _pick(pick), f"{_at(source, 'pick', r, 'picks.parquet')}, rank {pick.rank}"),
        *((Link("why", pick.why, f"{_at(source, 'pick', r, 'picks.parquet')}, column why"),) if pick.why else ()),
        *_liquid(source, plate, well),
    )


def _at(source: Source, task: str, r: int, name: str) -> str:
    return f"{source.step(task, r)}/{name}"


def _step(source: Source, task: str, r: int) -> str:
    return f"step {task} {source.result(task, r)['key'][:_SHORT]}"


def _seq(source: Source, task: str, r: int) -> str:
    key = source.state.latest_key(task, r)
    return f"journal event {source.seqs[('outcome', key)]} ({key})"


def _well(well: WellView) -> str:
    return f"{well.well}: {well.compound_id}, {well.dose_um:g} µM, replicate {well.replicate}"


def _cells(well: WellView) -> str:
    return f"{well.n_cells} nuclei" if well.n_cells is not None else "nuclei not counted"


def _response(well: WellView) -> str:
    viability = "not determined" if well.viability is None else f"{well.viability:.2f}"
    activity = "not determined" if well.activity is None else f"{well.activity:.3f}"
    return f"activity {activity}, viability {viability}"


def _images(source: Source, plate: PlateView, well: WellView) -> tuple[Link, ...]:
    images = [i for i in plate.shots.images if i.well == well.well and i.path.is_file()] if plate.shots else []
    if not images:
        return (Link("images", "not found", source.record("measure", plate.round)["inputs"]["readout"]),)
    return tuple(
        Link("image", f"{i.channel}, field {i.field}: {_digest(i.path)}", _inside(source, i.path)) for i in images
    )


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return f"sha256 {hashlib.file_digest(handle, 'sha256').hexdigest()[:_SHORT]}"


def _inside(source: Source, path: Path) -> str:
    return path.relative_to(source.folder).as_posix() if path.is_relative_to(source.folder) else str(path)


def _belief(source: Source, r: int) -> tuple[Link, ...]:
    if source.step("fit", r) is None:
        return (Link("belief", "none: the first plate is chosen by lot among unlike structures", "no step"),)
    used = deployed_round(source.state, r)
    r = r if used is None else used
    return (
        Link("belief", _step(source, "fit", r), _at(source, "fit", r, "belief")),
        Link("calibration", _step(source, "calibrate", r), _at(source, "calibrate", r, "predictions.parquet")),
    )


def _pick(pick: PickView) -> str:
    score = "no score" if pick.score is None else f"score {pick.score:.3f}"
    return f"rank {pick.rank}, {score}, reason {pick.reason}"


def _liquid(source: Source, plate: PlateView, well: WellView) -> tuple[Link, ...]:
    """Tell transfer, protocol, its proof and approval, and the run that moved the liquid."""
    r = plate.round
    folder = source.step("compile", r)
    if folder is None:
        return (Link("transfer", "not known", "no compiled protocol"),)
    protocol = Protocol.from_json((source.folder / folder / "protocol.json").read_text(encoding="utf-8"))
    into = [(i.index, t) for i in protocol.loads for t in i.transfers if _ends(t) == (plate.barcode, well.well)]
    # Where solvent fills wells up, the compound is what is asked for.
    found = next((pair for pair in into if pair[1].compound_id == well.compound_id), into[0] if into else None)
    if found is None:
        return (Link("transfer", f"none into {well.well}", f"{folder}/protocol.json"),)
    load, transfer = found
    return (
        Link(
            "transfer", _transfer(source, r, load, transfer), f"{folder}/protocol.json, transfer {transfer.transfer_id}"
        ),
        *_dilution(source, r, protocol, transfer),
        Link("protocol", f"digest {protocol.digest[:_SHORT]}", f"{folder}/protocol.json"),
        Link("proof", _proof(source, r), _at(source, "check", r, "record.json")),
        Link("approval", _approval(source, r), "journal, kind decision"),
        Link("run", source.state.latest_key(f"run-{load}", r), _seq(source, f"run-{load}", r)),
    )


def _ends(t: Transfer) -> tuple[str, str]:
    return t.destination_plate, t.destination_well


def _dilution(source: Source, r: int, protocol: Protocol, drawn: Transfer) -> tuple[Link, ...]:
    """Tell what a dilution was made from, back to the stock; nothing where the stock itself was drawn from."""
    made = [
        (load.index, t)
        for load in protocol.loads
        for t in load.transfers
        if _ends(t) == (drawn.source_plate, drawn.source_well)
    ]
    links = tuple(Link("dilution", _transfer(source, r, load, t), f"transfer {t.transfer_id}") for load, t in made)
    before = (
        link for _, t in made if t.source_plate == drawn.source_plate for link in _dilution(source, r, protocol, t)
    )
    return (*links, *before)


def _transfer(source: Source, r: int, load: int, t: Transfer) -> str:
    moved = dict(map(tuple, source.result(f"run-{load}", r).get("transfers", ()))).get(t.transfer_id)
    said = "not reported" if moved is None else f"{moved} nl moved"
    places = f"{t.source_plate} {t.source_well} → {t.destination_plate} {t.destination_well}"
    return f"{places}, {t.volume_nl} nl planned, {said}, tip {t.tip_rack} {t.tip_well}"


def _proof(source: Source, r: int) -> str:
    summary = source.summary("check", r)
    return f"{summary.get('n_proven', '?')} of {summary.get('n_transfers', '?')} transfers as planned in a dry run"


def _approval(source: Source, r: int) -> str:
    approval = source.state.approvals.get(r)
    return f"{approval.by}: {approval.reason}" if approval else "none recorded"
