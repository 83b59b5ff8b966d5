"""The composition root: what talks to what. Whether a device is simulated or real is decided here alone."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.clock import SteadyClock, WallClock
from controller.devices import make_device
from controller.lab import Lab
from controller.settings import Settings
from controller.state import AGAIN, fold
from drivers.ports import Clock, Device

if TYPE_CHECKING:
    from controller.store.store import Store
    from sim.lab import SimLab


@dataclass(frozen=True, slots=True)
class Hardware:
    """The devices of a lab by kind, its clock, and what only a simulated lab offers.

    A real device may have a ``close`` beside the verbs of its port; it is called at the end.
    """

    clock: Clock
    devices: Mapping[str, Device]
    prepare: Callable[["Store"], None]
    """Put registered plates and tips into the simulated lab. In a real one people do that, and its clock begins no
    earlier than the journal ends."""
    lend_hand: Callable[[Mapping[str, Any], str, str, Collection[str]], None]
    """Do in the simulated lab what a person who answers about a command has done with her hands: command, answer,
    barcode of the round's assay plate, plates that she saw arrive."""
    simulated: "SimLab | None"
    """None in a real lab."""
    close: Callable[[], None]


def connect(lab: Lab) -> Hardware:
    """Open the devices that lab.toml names.

    Raises:
        SettingsError: a driver is not installed, or refuses its options.
    """
    return _simulated(lab) if lab.settings.is_simulated else _real(lab)


def lab_time(lab: Lab) -> datetime:
    """Tell the lab's own time, which in a simulated lab is not the wall's; no real device is opened for it."""
    if not lab.settings.is_simulated:
        return WallClock().now()
    hardware = _simulated(lab)
    try:
        return hardware.clock.now()
    finally:
        hardware.close()


def _real(lab: Lab) -> Hardware:
    with ExitStack() as opened:
        devices: dict[str, Device] = {}
        for section in lab.settings.device:
            port = f"{section.kind}:{section.name}" if section.stands_in else section.kind
            devices[port] = make_device(section, lab.folder)
            if close := getattr(devices[port], "close", None):
                opened.callback(close)
        close_all, clock = opened.pop_all().close, SteadyClock()
        return Hardware(clock, devices, lambda store: _take_up(clock, store), lambda *_: None, None, close_all)


def _take_up(clock: SteadyClock, store: "Store") -> None:
    if last := store.last_event():
        clock.begin_after(last.time)


def _simulated(lab: Lab) -> Hardware:
    from sim.lab import SimLab

    simulated = SimLab.open(lab.folder, sim_settings(lab.settings))
    devices: Mapping[str, Device] = {
        "liquid-handler": simulated.handler,
        "plate-mover": simulated.mover,
        "incubator": simulated.incubator,
        "imager": simulated.imager,
        **{f"{d.kind}:{d.name}": simulated.spare_mover for d in lab.settings.device if d.stands_in},
        "shaker": simulated.shaker,
        "barcode-reader": simulated.barcode_reader,
        "washer": simulated.washer,
        "dispenser": simulated.dispenser,
    }
    return Hardware(
        simulated.clock,
        devices,
        lambda store: _deliver(simulated, lab.campaigns, store),
        lambda *told: _lend_hand(simulated, *told),
        simulated,
        simulated.close,
    )


def _lend_hand(
    lab: "SimLab", command: Mapping[str, Any], choice: str, assay_plate: str, arrived: Collection[str]
) -> None:
    """Carry the plates that a broken move left behind: to the end of it, or back to where it is tried again from."""
    if choice == "lose-plate":
        lab.place_by_hand(assay_plate, "stack/done")
    for barcode, source, target in command.get("moves", ()):
        place = lab.where(barcode)
        if (choice == "done" or barcode in arrived) and place not in (None, target):
            lab.place_by_hand(barcode, target)
        elif choice in AGAIN and place == "floor":
            lab.place_by_hand(barcode, source)


def sim_settings(settings: Settings) -> Any:
    """Translate lab.toml into the simulator's own settings."""
    from sim.lab import FaultSettings, SimSettings

    return SimSettings(
        seed=settings.sim.seed,
        faults=FaultSettings(**settings.sim.faults.model_dump()),
        field_px=settings.sim.field_px,
        negative_control=settings.assay.negative_control,
        positive_control=settings.assay.positive_control,
        assay_labware=settings.plate.labware,
        medium_nl=round(settings.assay.well_volume_ul * 1000),
    )


def _deliver(lab: "SimLab", campaigns: Sequence[Settings], store: "Store") -> None:
    from sim.lab import SourceWell

    controls = {liquid for c in campaigns for liquid in (c.assay.negative_control, c.assay.positive_control)}
    smiles = {c["compound_id"]: c["smiles"] for c in store.select("compounds")}
    rows: Sequence[Mapping[str, Any]] = store.select("stock")
    lab.deliver(
        [
            SourceWell(
                plate=row["source_plate"],
                well=row["source_well"],
                compound_id=row["compound_id"],
                smiles=None if row["compound_id"] in controls else smiles[row["compound_id"]],
                volume_nl=row["initial_volume_nl"],
                concentration_um=row["concentration_um"],
                labware=row["labware"],
            )
            for row in rows
        ]
    )
    lab.deliver_tips({rack.barcode: rack.labware for rack in store.tip_racks_now()})
    lab.deliver_spares(fold(store.events()).spares)
    n_plates = sum(c.campaign.rounds for c in campaigns) + 50
    prefixes = dict.fromkeys(c.plate.barcode_prefix for c in campaigns)
    lab.deliver_assay_plates([f"{prefix}-{n + 1:04d}" for prefix in prefixes for n in range(n_plates)])


def write_vendor_files(folder: Path, settings: Settings, n_compounds: int) -> None:
    """Write the library and stock files that the simulated lab's vendor would send."""
    from sim.lab import write_wehi_library

    write_wehi_library(folder, seed=settings.sim.seed, n=n_compounds)
