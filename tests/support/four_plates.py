"""Nights on the simulated lab with lossy devices, cheap enough to be broken off a thousand times.

Fields are small, and what the computing steps of an undisturbed night made lies there already: a step whose key exists
is not run again. Everything else is the product: loop, journal, workers, devices with their own memory and logs in the
world's file, which is the lab and not the process.
"""

import hashlib
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from controller import app
from controller.app import connect
from controller.campaign import Ending, Watcher, run_campaign
from controller.lab import locked_store, open_lab
from controller.state import LabState, fold
from controller.store import open_store
from controller.store.store import Store
from sim import imager
from sim.device import SimDevice
from sim.render import Renderer
from tests.support.killing import Fuse, Killed, burning
from tests.support.small_lab import device_log, make_lab, nextplate, planned_transfers

LOSSY = "reply_lost = 0.25\nrefused = 0.15\nout_of_focus = 0.0"
"""A quarter of all replies is lost after the device took the command, and a seventh of first tries is refused."""
FIELD_PX = 64
DEVICES = ("handler", "mover", "incubator", "imager")
_STEPS = ("models", "measurements", "protocols")


optics = cache(Renderer)
"""The microscope's optics, ground once a process: they take as long as a fifth of a night."""


@dataclass(frozen=True, slots=True)
class Calm:
    """An undisturbed night, and the lab as it was before it."""

    fresh: Path
    head: str
    """The journal's last hash."""
    logs: dict[str, Counter[tuple[Any, ...]]]
    result: str
    n_events: int
    n_moments: int
    """At least: before and after each commit and each hand-over."""


def four_plate_lab(folder: Path, *, faults: str = LOSSY, database: str = "") -> Path:
    """Make a lab of four campaigns of one plate each."""
    make_lab(folder, rounds=1, faults=faults, database=database)
    (folder / "campaigns").mkdir()
    for n, name in enumerate(("second", "third", "fourth")):
        text = f'[campaign]\nname = "{name}"\nrounds = 1\nseed = {n + 7}\n[picking]\nrule = "random"\n'
        (folder / "campaigns" / f"{name}.toml").write_text(text)
    return folder


def calm_night(root: Path) -> Calm:
    """Play the night once, undisturbed."""
    fresh, lab = root / "fresh", four_plate_lab(root / "calm")
    _deliver(lab)
    shutil.copytree(lab, fresh)
    fuse = Fuse()
    with small_fields(), mortal(fuse):
        ending = play(lab)
    assert not ending.needs_person, "the calm night ends by itself"
    return replace(calm_of(fresh, lab), n_moments=fuse.n_moments)


def calm_of(fresh: Path, ended: Path) -> Calm:
    """Look at an undisturbed night that has ended; its steps are put into the lab as it was before it."""
    for name in _STEPS:
        shutil.copytree(ended / name, fresh / name, dirs_exist_ok=True)
    with open_store(open_lab(ended).database) as store:
        events = list(store.events())
    n_moments = 2 * sum(event.kind in ("intent", "outcome") for event in events)
    return Calm(fresh, events[-1].hash, logs(ended), result_of(fold(events)), len(events), n_moments)


def _deliver(lab: Path) -> None:
    """Let the simulated vendor put plates and tips into the lab: that is before the night."""
    opened = open_lab(lab)
    hardware = connect(opened)
    try:
        with locked_store(opened, "nextplate run") as store:
            hardware.prepare(store)
    finally:
        hardware.close()


def play(lab: Path) -> Ending:
    """Run the lab's campaigns in this process."""
    opened = open_lab(lab)
    with locked_store(opened, "nextplate run") as store:
        return run_campaign(opened, store, Watcher(lambda _event: None))


@contextmanager
def small_fields() -> Iterator[None]:
    """Let the simulated microscope take small pictures."""
    with pytest.MonkeyPatch.context() as patch:
        whole = app.sim_settings
        patch.setattr(app, "sim_settings", lambda settings: replace(whole(settings), field_px=FIELD_PX))
        patch.setattr(imager, "Renderer", optics)
        yield


@contextmanager
def mortal(fuse: Fuse) -> Iterator[None]:
    """Burn a fuse before and after each commit and each hand-over to a device."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "append", burning(fuse, Store.append))
        patch.setattr(SimDevice, "submit", burning(fuse, SimDevice.submit))
        yield


def killed_in_process(lab: Path, moment: int) -> Ending:
    """Play a night that dies at a moment, then go on with it."""
    fuse = Fuse()
    fuse.at = moment
    with mortal(fuse), pytest.raises(Killed):
        play(lab)
    return play(lab)


def copied(calm: Calm, folder: Path, database: str = "") -> Path:
    """Give the lab as it was before the night, its journal in another database if one is named."""
    if database.startswith("postgres"):
        four_plate_lab(folder, database=database)
        for name in _STEPS:
            shutil.copytree(calm.fresh / name, folder / name, dirs_exist_ok=True)
        return folder
    shutil.copytree(calm.fresh, folder)
    if database:
        shutil.move(folder / "nextplate.db", database.removeprefix("sqlite:///"))
        settings = folder / "lab.toml"
        settings.write_text(f'[lab]\ndatabase = "{database}"\n{settings.read_text()}')
    return folder


def result_of(state: LabState) -> str:
    """Digest how every action ended, what the devices told of theirs, and where the plates are.

    Not when: a process that takes over asks the devices, and so learns of a command whose reply was lost half a minute
    before one that waits and hands it over again. Nor what was computed: cells shine a little less half a minute
    earlier.
    """
    outcomes = {
        key: [outcome.status, outcome.result if "device" in state.intents[key].action else {}]
        for key, outcome in state.outcomes.items()
    }
    return hashlib.sha256(json.dumps([outcomes, dict(state.places)], sort_keys=True).encode()).hexdigest()


def unannounced(lab: Path) -> list[str]:
    """Say what the devices have taken that the journal does not hold an intent of."""
    opened = open_lab(lab)
    with open_store(opened.database) as store:
        announced = {event.payload["key"] for event in store.events() if event.kind == "intent"}
    with closing(sqlite3.connect(lab / "sim" / "world.db")) as world:
        return [f"{key} has no intent" for (key,) in world.execute("SELECT key FROM commands") if key not in announced]


def logs(lab: Path) -> dict[str, Counter[tuple[Any, ...]]]:
    """Count what each device's own log says was done; when is left out."""
    return {
        name: Counter(
            tuple(value for column, value in row.items() if column not in ("seq", "time"))
            for row in device_log(lab, name)
        )
        for name in DEVICES
    }


def wrongs(lab: Path, calm: Calm) -> list[str]:
    """Say what is not as after the undisturbed night; nothing: every transfer, move and image was made exactly once."""
    found, wrong = logs(lab), []
    wrong += [f"{name}: {found[name] - calm.logs[name]} too much" for name in DEVICES if found[name] - calm.logs[name]]
    wrong += [f"{name}: {calm.logs[name] - found[name]} missing" for name in DEVICES if calm.logs[name] - found[name]]
    transfers = Counter((row["destination_plate"], row["transfer_id"]) for row in device_log(lab, "handler"))
    wrong += [] if transfers == planned_transfers(lab) else ["transfers are not those planned"]
    images = Counter((row["barcode"], row["well"]) for row in device_log(lab, "imager"))
    wrong += [] if set(images.values()) == {1} else ["a well was not imaged exactly once"]
    told = json.loads(nextplate("journal", "verify", "--lab", lab, "--json"))
    return wrong + ([] if told["intact"] else ["the journal's chain is broken"])
