"""A four-plate night on the simulated lab with lossy devices, cheap enough to be killed a thousand times.

Fields are small, and what the computing steps of an undisturbed night made lies there already: a step whose key exists
is not run again. Everything else is the product: loop, journal, workers, devices with their own memory and logs in the
world's file, which is the lab and not the process.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from controller import app
from controller.app import connect
from controller.campaign import Ending, Watcher, run_campaign
from controller.lab import locked_store, open_lab
from controller.store.store import Store
from sim import imager
from sim.device import SimDevice
from sim.render import Renderer
from sim.world import World
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
    logs: dict[str, Counter[tuple[Any, ...]]]
    digest: str
    n_events: int
    n_moments: int
    """Before and after each commit and each hand-over."""
    n_changes: int
    """Before, in and after each change of the world."""


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
    fuse, world = Fuse(), Fuse()
    with mortal(fuse, world):
        ending = play(lab)
    assert not ending.needs_person, "the calm night ends by itself"
    for name in _STEPS:
        shutil.copytree(lab / name, fresh / name, dirs_exist_ok=True)
    return Calm(fresh, logs(lab), ending.state.digest(), ending.head.seq, fuse.n_moments, world.n_moments)


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
def mortal(fuse: Fuse, world: Fuse) -> Iterator[None]:
    """Burn a fuse before and after each commit and hand-over, and one before, in and after each change of the world."""
    changed = World.transaction

    @contextmanager
    def transaction(one: World) -> Iterator[None]:
        world.burn()
        with changed(one):
            yield
            world.burn()
        world.burn()

    with small_fields(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "append", burning(fuse, Store.append))
        patch.setattr(SimDevice, "submit", burning(fuse, SimDevice.submit))
        patch.setattr(World, "transaction", transaction)
        yield


def killed_in_process(lab: Path, moment: int) -> Ending:
    """Play a night that dies at a moment, then go on with it."""
    fuse = Fuse()
    fuse.at = moment
    with mortal(fuse, fuse), pytest.raises(Killed):
        play(lab)
    with small_fields():
        return play(lab)


def copied(calm: Calm, folder: Path) -> Path:
    """Give the lab as it was before the night."""
    shutil.copytree(calm.fresh, folder)
    return folder


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
    wrong += [] if len(images) == 4 * 96 and set(images.values()) == {1} else ["a well was not imaged exactly once"]
    told = json.loads(nextplate("journal", "verify", "--lab", lab, "--json"))
    return wrong + ([] if told["intact"] else ["the journal's chain is broken"])
