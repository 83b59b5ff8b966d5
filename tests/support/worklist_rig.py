"""Simulated software of a robot behind two folders, and the rigs of the work-list folder driver."""

import itertools
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from device_rig import Port, Rig
from standing import Spoiled

from drivers.ports import RunLoad
from drivers.worklist_folder import WorklistFolder, make
from protocols.labware import LABWARE, vendor_well
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer
from protocols.worklists.columns import read_columns
from protocols.worklists.gwl import read_gwl
from protocols.worklists.picks import Pick

SOURCE, TARGET, TIPS = (
    "corning_384_wellplate_112ul_flat",
    "corning_96_wellplate_360ul_flat",
    "opentrons_flex_96_tiprack_50ul",
)
MAPPING = """
[columns]
"Source Plate Name" = "source_plate"
"Source Well" = "source_well"
"Destination Plate Name" = "destination_plate"
"Destination Well" = "destination_well"
"Transfer Volume" = "volume"

[result]
end = "END"
"""
KINDS = {"SRC-001": SOURCE, "P1": TARGET}


def load_from(folder: Path, wells: Mapping[int, str] | None = None, n: int = 6, *, is_sound: bool = False) -> RunLoad:
    """A load of one source plate and one assay plate; `wells` says which transfer draws from elsewhere."""
    deck = (
        DeckItem("B1", "SRC-001", SOURCE, DeckRole.SOURCE),
        DeckItem("A2", "P1", TARGET, DeckRole.DESTINATION),
        DeckItem("C1", "TIPS-001", TIPS, DeckRole.TIPS),
    )
    targets, tips = list(LABWARE[TARGET].wells_format.wells()), LABWARE[TIPS].wells_by_column()
    moved = tuple(
        Transfer(i, "SRC-001", (wells or {}).get(i, f"A{i:02d}"), "P1", targets[i], 5_000, "TIPS-001", tips[i], f"C{i}")
        for i in range(1, n + 1)
    )
    robot, tool = ("echo", "echo_550") if is_sound else ("flex", "flex_1channel_50")
    protocol = Protocol("list", robot, tool, "left", (DeckLoad(0, deck, moved),))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"protocol-{protocol.digest[:8]}.json"
    path.write_text(protocol.to_json())
    return RunLoad(path, None, protocol.digest, 0)


class RobotSoftware:
    """Takes each work list away when it begins, and leaves a result table; nothing stands in wells of row P."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.out, self.back, self.suffix = folder / "out", folder / "in", suffix
        self.taken, self.log = folder / "taken", folder / "robot.log"
        self.taken.mkdir(parents=True, exist_ok=True)

    def begin(self) -> None:
        for path in self.out.glob(f"*{self.suffix}") if self.out.is_dir() else ():
            if not path.name.startswith("."):
                with self.log.open("a") as log:
                    log.write(f"{path.name}\n")
                path.rename(self.taken / path.name)

    def work(self) -> None:
        self.begin()
        for path in sorted(self.taken.glob(f"*{self.suffix}")):
            if self.back.is_dir():
                name = path.name.removesuffix(self.suffix)
                part = self.back / f"part-{name}"
                part.write_bytes(self._done(path.read_bytes().decode()))
                part.rename(self.back / f"{name}_2026-11-25.csv")
                path.unlink()

    def effects(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def _done(self, text: str) -> bytes:
        picks = read_gwl(text) if self.suffix == ".gwl" else read_columns(text, KINDS)
        good = list(itertools.takewhile(lambda pick: not pick.source_well.startswith("P"), picks))
        head = (
            "Source Plate Name,Source Well,Destination Plate Name,Destination Well,Transfer Volume,Actual Volume,Status"
        )
        lines = [head, *(_row(pick, f"{pick.volume_nl / 1000:g}", "ok") for pick in good)]
        lines += [_row(pick, "", "no liquid") for pick in picks[len(good) : len(good) + 1]]
        lines += [_row(pick, "0", "skipped") for pick in picks[len(good) + 1 :]]
        lines += ["END,complete,,,,," if len(good) == len(picks) else "END,aborted,no liquid,,,,", ""]
        return "\r\n".join(lines).encode()


def _row(pick: Pick, actual: str, status: str) -> str:
    source, target = vendor_well(pick.source_well), vendor_well(pick.destination_well)
    planned = f"{pick.volume_nl / 1000:g}"
    return ",".join([pick.source_plate, source, pick.destination_plate, target, planned, actual, status])


def open_device(folder: Path, list_format: str = "csv", **options: Any) -> WorklistFolder:
    lab = folder / "lab"
    lab.mkdir(parents=True, exist_ok=True)
    (lab / "lists.toml").write_text(MAPPING)
    return make(
        "liquid-handler", {"format": list_format, "out": "out", "in": "in", "mapping": "lists.toml", **options}, lab
    )


def _open(list_format: str, folder: Path) -> Port:
    device, lab = open_device(folder, list_format), folder / "lab"
    suffix = ".gwl" if list_format == "gwl" else ".csv"
    software = RobotSoftware(lab, suffix)
    spoiled = Spoiled(lab / "in", folder / "unmounted", lab / "out" / f"..k{suffix}.ready.tmp")
    faults, repair = spoiled.faults(), spoiled.repair
    return Port(device, software.effects, software.work, software.begin, lambda: None, faults, repair)


def worklist_rigs() -> dict[str, Rig]:
    return {
        f"worklist-{name}": Rig(
            partial(_open, name),
            load_from,
            lambda folder: load_from(folder, {3: "P24"}),
            frozenset({"transfers", "drawn"}),
            frozenset({"refused", "offline"}),
        )
        for name in ("gwl", "csv")
    }
