"""The simulated microscope: it images every well of the plate on its stage and writes an ImageXpress folder."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.ports import AcquirePlate
from nextplate.plate import PlateFormat, well_name
from sim.biology import Phenotype, phenotype
from sim.device import CHUNK, Plan, SimDevice, Work
from sim.imagexpress import describe, image_path, write_htd, write_image
from sim.labware import find_labware
from sim.liquids import labware_of
from sim.plates import plate_at
from sim.render import Night, Renderer
from sim.seeds import chance
from sim.settings import FaultKind
from sim.world import World, from_ms

MISSING_WAVE, CUT_WAVE = 2, 1
"""Which of a well's two files a fault hits."""
FOCUS_S, WELL_S, CLOSE_S = 45.0, 2.4, 3.0


@dataclass(frozen=True, slots=True)
class _Shot:
    """One well to be imaged."""

    well: str
    shows: Phenotype
    faults: frozenset[FaultKind]


class SimImager(SimDevice):
    """Takes AcquirePlate. Step 0 finds the plate, one step per well, the last writes the HTD file."""

    name = "imager"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._renderer: Renderer | None = None
        self._night: tuple[str, Night] | None = None

    def _possible_faults(self) -> tuple[FaultKind, ...]:
        return (FaultKind.REPLY_LOST, FaultKind.CRASH, FaultKind.STALL)

    def _plan(self, command: Any) -> Plan:
        if not isinstance(command, AcquirePlate):
            raise self._wrong_command(command)
        sql = "SELECT COUNT(*) AS n FROM commands WHERE device = 'imager' AND json_extract(body, '$.barcode') = ?"
        row = self._world.row(sql, (command.barcode,))
        n_before = 0 if row is None else int(row["n"])
        folder = f"readouts/{command.barcode}" + (f"_{n_before + 1}" if n_before else "")
        n_wells = self._grid(command.barcode).n_wells
        durations = [FOCUS_S] + [WELL_S] * n_wells + [CLOSE_S]
        return Plan({"barcode": command.barcode, "folder": folder}, durations, {"folder": folder, "images": 0})

    def _grid(self, barcode: str) -> PlateFormat:
        row = self._world.row("SELECT labware FROM plates WHERE barcode = ?", (barcode,))
        # a plate nobody knows is found missing when the stage is looked at, in the first step
        return find_labware(self._world.settings.assay_labware if row is None else row["labware"]).plate_format

    def play(self, row: Any, limit_ms: int) -> None:
        """Write the images of the due wells, then count them in one transaction.

        A process killed in between writes the same bytes again and counts them once.
        """
        self._shoot(Work.of(row), limit_ms)
        super().play(row, limit_ms)

    def _step(self, work: Work, now_ms: int) -> None:
        barcode = work.body["barcode"]
        if work.n_done == 0:
            if problem := self._stage_problem(barcode):
                work.fail(problem)
        elif self._is_crash(work, work.n_done):
            work.fail(f"the imager stopped: autofocus laser lost; plate {barcode} still stands on the stage")
        elif work.n_done < len(work.times_ms) - 1:
            self._count(work, now_ms)
        else:
            folder = self._world.lab_folder / work.body["folder"]
            write_htd(
                folder / f"{barcode}.HTD", barcode, work.body["folder"], labware_of(self._world, barcode).plate_format
            )

    def _stage_problem(self, barcode: str) -> str:
        standing = plate_at(self._world, "imager")
        if standing != barcode:
            return f"{standing or 'no plate'} stands on the imager's stage, not {barcode}; nothing was imaged"
        row = self._world.row("SELECT kind FROM plates WHERE barcode = ?", (barcode,))
        return "" if row and row["kind"] == "assay" else f"{barcode} is not an assay plate; nothing was imaged"

    @staticmethod
    def _is_crash(work: Work, step: int) -> bool:
        return FaultKind.CRASH in work.faults and step > len(work.times_ms) // 2

    def _count(self, work: Work, now_ms: int) -> None:
        well = self._well(work, work.n_done)
        faults = self._well_faults(work, work.n_done, well)
        n_images = 1 if FaultKind.MISSING_IMAGE in faults else 2
        sql = "INSERT INTO imager_log(time, key, barcode, well, images, note) VALUES (?, ?, ?, ?, ?, ?)"
        note = ", ".join(sorted(faults))
        self._world.run(sql, (from_ms(now_ms).isoformat(), work.key, work.body["barcode"], well, n_images, note))
        work.result["images"] += n_images

    def _well(self, work: Work, step: int) -> str:
        """Return the well of a step; the stage goes row by row."""
        return well_name(*divmod(step - 1, self._grid(work.body["barcode"]).n_columns))

    def _well_faults(self, work: Work, step: int, well: str) -> frozenset[FaultKind]:
        """Return what goes wrong at a well; an injected fault hits the first well."""
        settings = self._world.settings
        kinds = (FaultKind.OUT_OF_FOCUS, FaultKind.MISSING_IMAGE, FaultKind.TRUNCATED_IMAGE)
        return frozenset(
            kind for kind in kinds
            if chance(settings.seed, kind, work.body["folder"], well) < settings.faults.rate(kind)
            or (kind in work.faults and step == 1)
        )  # fmt: skip

    def _shoot(self, work: Work, limit_ms: int) -> None:
        """Render and write what the coming steps will count."""
        due = [
            i for i in range(work.n_done, min(work.n_done + CHUNK, len(work.times_ms))) if work.times_ms[i] <= limit_ms
        ]
        if self._stage_problem(work.body["barcode"]):
            return
        steps = [i for i in due if 0 < i < len(work.times_ms) - 1 and not self._is_crash(work, i)]
        shots = [self._aim(work, i, self._well(work, i)) for i in steps]
        if not shots:
            return
        renderer, night = self._optics(work.body["folder"])
        with ThreadPoolExecutor(self._world.settings.n_threads) as pool:
            list(pool.map(lambda shot: self._write(work, renderer, night, shot), shots))

    def _aim(self, work: Work, step: int, well: str) -> _Shot:
        shows = phenotype(self._world, work.body["barcode"], well, work.times_ms[step])
        return _Shot(well, shows, self._well_faults(work, step, well))

    def _optics(self, acquisition: str) -> tuple[Renderer, Night]:
        settings = self._world.settings
        if self._renderer is None:
            self._renderer = Renderer(settings.seed, settings.field_px, settings.n_cells)
        if self._night is None or self._night[0] != acquisition:
            self._night = (acquisition, self._renderer.night(acquisition))
        return self._renderer, self._night[1]

    def _write(self, work: Work, renderer: Renderer, night: Night, shot: _Shot) -> None:
        settings, barcode, acquisition = self._world.settings, work.body["barcode"], work.body["folder"]
        folder: Path = self._world.lab_folder / acquisition
        is_blurred = FaultKind.OUT_OF_FOCUS in shot.faults
        images = renderer.field(night, shot.shows, acquisition, shot.well, is_blurred=is_blurred)
        grid = find_labware(settings.assay_labware).plate_format
        for wave, image in enumerate(images, start=1):
            if FaultKind.MISSING_IMAGE in shot.faults and wave == MISSING_WAVE:
                continue
            is_cut = FaultKind.TRUNCATED_IMAGE in shot.faults and wave == CUT_WAVE
            description = describe(barcode, shot.well, wave, settings.field_px, settings.pixel_size_um, grid)
            path = image_path(folder, barcode, shot.well, wave)
            write_image(path, image, description, keep_share=0.6 if is_cut else 1.0)
