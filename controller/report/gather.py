"""Gather all that a report says of a campaign, from journal and step folders."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version

from controller.lab import Lab
from controller.report.curve import batches, gather_curve
from controller.report.foresight import gather_foresight, gather_hit_list
from controller.report.hits import gather_hits
from controller.report.model import Campaign
from controller.report.referee import Ask, ask_referee, is_simulated
from controller.report.rounds import gather_rounds
from controller.report.source import Source, read_source
from controller.report.speed import gather_speed
from controller.report.trouble import gather_incidents
from controller.status import state_word
from controller.step import code_digest

_PACKAGES = ("nextplate", "numpy", "polars", "rdkit", "lightgbm", "scikit-learn", "ortools", "opentrons", "tifffile")


def gather(lab: Lab, ask: Ask = ask_referee, campaign: str | None = None) -> Campaign:
    """Gather a campaign, finished or not; without a name lab.toml's, else the one started last.

    Raises:
        PlanError: no campaign has been started.
        DataError: a step's folder that the journal names is gone or damaged.
        StoreError: the database cannot be read, or its journal was changed.
    """
    source = read_source(lab, campaign)
    rounds = gather_rounds(source)
    tested = batches(source, rounds)
    compounds = source.compounds()
    smiles = dict(zip(compounds["compound_id"], compounds["smiles"], strict=True))
    called = sorted({t.compound_id for b in tested for t in b.compounds if t.is_called})
    verdict = ask(lab, source.head.hash, [[t.compound_id for t in b.compounds] for b in tested], called)
    return Campaign(
        name=source.plan.name,
        seed=source.plan.seed,
        state=state_word(source.state),
        n_planned_rounds=source.plan.rounds,
        n_library=len(compounds),
        library=source.state.campaign.library if source.state.campaign else "",
        started=source.events[0].time,
        ended=source.events[-1].time,
        n_events=source.head.seq,
        head=source.head.hash,
        is_simulated=is_simulated(lab),
        rounds=rounds,
        curve=gather_curve(tested, len(compounds), verdict),
        foresight=gather_foresight(source),
        hit_list=gather_hit_list(source),
        hits=gather_hits(source, rounds, smiles),
        incidents=gather_incidents(source),
        speed=gather_speed(source),
        settings=source.plan.settings,
        versions=_versions(),
        commands=_commands(source),
    )


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "step code now": code_digest()[:16]}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _commands(source: Source) -> tuple[str, ...]:
    """Tell what to type for the same campaign again."""
    marker = source.folder / "logs" / "demo.json"
    if marker.is_file():
        m = json.loads(marker.read_text(encoding="utf-8"))
        return (
            f"nextplate demo NEW-FOLDER --seed {m['seed']} --rounds {m['rounds']} --compounds {m['compounds']}",
            "nextplate journal verify --lab NEW-FOLDER",
        )
    return (
        "nextplate init NEW-FOLDER",
        "cp lab.toml NEW-FOLDER/",
        "nextplate library add YOUR-LIBRARY.csv --lab NEW-FOLDER",
        "nextplate stock add YOUR-STOCK.csv --lab NEW-FOLDER",
        "nextplate run --lab NEW-FOLDER",
    )
