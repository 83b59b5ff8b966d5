"""Where a report's numbers come from: the journal, and the folders of the steps it names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from controller.lab import Lab
from controller.recipe import Plan, chain, judged_task, plan_of
from controller.snapshots import library_folder
from controller.state import LabState, Outcome, fold
from controller.store import Event, Head, open_store
from nextplate.errors import DataError, PlanError

if TYPE_CHECKING:
    from controller.store.store import Store

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A lab at one moment of its journal, asked by task and round."""

    lab: Lab
    state: LabState
    plan: Plan
    events: tuple[Event, ...]
    """Of this campaign, oldest first."""
    head: Head
    seqs: Mapping[tuple[str, str], int]
    """(kind, key) -> number of the journal event; the last one where there are several."""

    @property
    def folder(self) -> Path:
        """Return the lab folder."""
        return self.lab.folder

    def tasks(self, round_number: int) -> tuple[str, ...]:
        """List the tasks of a round."""
        return chain(self.state, self.plan, round_number)

    def outcome(self, task: str, round_number: int) -> Outcome | None:
        """Return what became of a task; None while it is not over. Responses are those that hold."""
        name = judged_task(self.state, round_number) if task == "normalise" else task
        return self.state.outcome(name, round_number)

    def result(self, task: str, round_number: int) -> JSON:
        """Return what a task left behind; empty while there is nothing."""
        outcome = self.outcome(task, round_number)
        return outcome.result if outcome else {}

    def summary(self, task: str, round_number: int) -> JSON:
        """Return the summary of a step; empty while it is not done."""
        summary: JSON = self.result(task, round_number).get("summary", {})
        return summary

    def step(self, task: str, round_number: int) -> str | None:
        """Return the folder of a step, relative to the lab; None while it is not done."""
        folder = self.result(task, round_number).get("folder")
        return str(folder) if folder else None

    def record(self, task: str, round_number: int) -> JSON:
        """Return a step's record; empty while it is not done.

        Raises:
            DataError: the journal says it was done, and the folder is gone or damaged.
        """
        return self.json(task, round_number, "record.json") or {}

    def json(self, task: str, round_number: int, name: str) -> Any:
        """Return a JSON file of a step; None while it is not done.

        Raises:
            DataError: the file is gone or damaged.
        """
        path = self._path(task, round_number, name)
        if path is None:
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} is damaged ({error}); restore it, or remove the folder and run again") from error

    def frame(self, task: str, round_number: int, name: str) -> pl.DataFrame | None:
        """Return a table of a step, Parquet or CSV; None while it is not done.

        Raises:
            DataError: the file is gone or damaged.
        """
        path = self._path(task, round_number, name)
        if path is None:
            return None
        try:
            if path.suffix == ".csv":
                return pl.read_csv(path, schema_overrides={"compound_id": pl.String, "barcode": pl.String})
            return pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path} is damaged ({error}); restore it, or remove the folder and run again") from error

    def _path(self, task: str, round_number: int, name: str) -> Path | None:
        folder = self.step(task, round_number)
        if folder is None:
            return None
        path = self.folder / folder / name
        if not path.is_file():
            raise DataError(
                f"{path} is missing though the journal says that {task} of round {round_number + 1} is done"
            )
        return path

    def compounds(self) -> pl.DataFrame:
        """Return compound_id and smiles of the campaign's library.

        Raises:
            DataError: the library's folder is gone.
        """
        digest = self.state.campaign.library if self.state.campaign else ""
        path = self.folder / library_folder(digest) / "compounds.parquet"
        if not path.is_file():
            raise DataError(f"{path} is missing; add the library again: nextplate library add FILE")
        return pl.read_parquet(path, columns=["compound_id", "smiles"])


def read_source(lab: Lab, campaign: str | None = None) -> Source:
    """Read a lab's journal, checking its chain of hashes.

    Args:
        lab: whose.
        campaign: its name; None: lab.toml's, else the one started last.

    Raises:
        PlanError: no campaign has been started, or none of that name.
        StoreError: no database, or JournalBroken.
    """
    with open_store(lab.database) as store:
        return _source(lab, store, campaign)


def _looked_at(lab: Lab, state: LabState, campaign: str | None) -> LabState:
    """Look at the campaign that is asked for, else at lab.toml's, else at the one started last."""
    if campaign is not None and campaign not in state.campaigns:
        raise PlanError(f"no campaign is called {campaign!r} (there are: {', '.join(state.campaigns) or 'none'})")
    name = campaign or lab.settings.campaign.name
    return state.focused(name) if name in state.campaigns else state


def _source(lab: Lab, store: "Store", campaign: str | None) -> Source:
    head = store.verify()
    events = tuple(e for e in store.events() if e.seq <= head.seq)
    state = _looked_at(lab, fold(events), campaign)
    plan = plan_of(state)
    own = tuple(e for e in events if e.campaign == plan.name)
    seqs = {(e.kind, e.payload["key"]): e.seq for e in own if "key" in e.payload}
    return Source(lab, state, plan, own, head, seqs)
