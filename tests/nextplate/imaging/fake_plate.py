"""A small generator of two-channel plates with known counts and ratios, independent of sim."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage

SIZE = 540
PIXEL_UM = 0.65
Image = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """What one well shows."""

    n_cells: int = 60
    active: float = 0.0
    blur_px: float = 0.0
    falloff: float = 0.3
    brightness: float = 1.0


@dataclass(frozen=True)
class Truth:
    """What was drawn."""

    n_cells: int
    log2_ratio: float


@dataclass(frozen=True)
class Drawn:
    dna: npt.NDArray[np.uint16]
    reporter: npt.NDArray[np.uint16]
    truth: Truth


def draw(scene: Scene, rng: np.random.Generator, size: int = SIZE) -> Drawn:
    """Draw elliptic nuclei in elliptic cells, blurred, unevenly lit, with photon and read noise."""
    dna, reporter = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    places = _places(scene.n_cells, rng, size)
    ratios = [_draw_cell(dna, reporter, place, scene, rng) for place in places]
    lit = light(size, scene.falloff)
    raw = [_camera(channel, scene, lit, rng) for channel in (dna, reporter)]
    return Drawn(raw[0], raw[1], Truth(len(places), float(np.median(ratios)) if ratios else float("nan")))


def _places(n: int, rng: np.random.Generator, size: int) -> list[tuple[float, float, float]]:
    placed: list[tuple[float, float, float]] = []
    for _ in range(400 * n):
        if len(placed) == n:
            break
        y, x = rng.uniform(8, size - 8, 2)
        d = rng.uniform(18, 25)
        if all((y - py) ** 2 + (x - px) ** 2 > (0.47 * (d + pd)) ** 2 for py, px, pd in placed):
            placed.append((y, x, d))
    return placed


def _draw_cell(
    dna: Image, reporter: Image, place: tuple[float, float, float], scene: Scene, rng: np.random.Generator
) -> float:
    y, x, d = place
    rows = slice(max(0, int(y) - 36), int(y) + 37)
    columns = slice(max(0, int(x) - 36), int(x) + 37)
    yy, xx = np.mgrid[rows, columns][:, : dna[rows, columns].shape[0], : dna[rows, columns].shape[1]]
    a, b, turn = d / 2 * rng.uniform(0.9, 1.15), d / 2 * rng.uniform(0.8, 1.0), rng.uniform(0, np.pi)
    u = (xx - x) * np.cos(turn) + (yy - y) * np.sin(turn)
    v = (yy - y) * np.cos(turn) - (xx - x) * np.sin(turn)
    r = np.hypot(u / a, v / b)
    texture = 1 + ndimage.gaussian_filter(rng.normal(0, 0.12, r.shape), 1.5)
    nucleus, cell = np.clip((1.05 - r) * 8, 0, 1), np.clip((1.05 - r / 2) * 5, 0, 1)
    dna[rows, columns] = np.maximum(dna[rows, columns], nucleus * texture * rng.uniform(2000, 6000))
    amount, share = rng.uniform(800, 1600), float(np.clip(scene.active + rng.normal(0, 0.06), 0, 1))
    inside, outside = amount * (0.4 + 1.6 * share), amount * (1.2 - 0.8 * share)
    drawn = np.maximum(reporter[rows, columns], outside * cell)
    reporter[rows, columns] = np.where(nucleus > 0.5, inside, drawn)
    return float(np.log2(inside / outside))


def light(size: int, falloff: float) -> Image:
    """Return the illumination drawn, 1 in the middle."""
    yy, xx = np.mgrid[:size, :size].astype(np.float32)
    c = (size - 1) / 2
    return (1 - falloff * ((yy - c) ** 2 + (xx - 1.1 * c) ** 2) / (2 * c * c)).astype(np.float32)


def _camera(channel: Image, scene: Scene, lit: Image, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    photons = (ndimage.gaussian_filter(channel, 1.0 + scene.blur_px) * scene.brightness + 150) * lit
    counts = rng.poisson(np.maximum(photons, 0)) + 100 + rng.normal(0, 8, channel.shape)
    return np.clip(counts, 0, 65535).astype(np.uint16)


@dataclass(frozen=True)
class FakePlate:
    folder: Path
    truth: Mapping[str, Truth] = field(default_factory=dict)


def write_plate(
    folder: Path,
    scenes: Mapping[str, Scene],
    seed: int = 1,
    size: int = SIZE,
    edit: Callable[[str, Drawn], Drawn] | None = None,
) -> FakePlate:
    """Write `<plate>/TimePoint_1/<plate>_A01_s1_w1.TIF` .. and `<plate>.HTD` last, as the microscope does."""
    plate = folder.name
    place = folder / "TimePoint_1"
    place.mkdir(parents=True)
    truth: dict[str, Truth] = {}
    for i, (well, scene) in enumerate(scenes.items()):
        drawn = draw(scene, np.random.default_rng([seed, i]), size)
        drawn = edit(well, drawn) if edit else drawn
        truth[well] = drawn.truth
        for wave, image in ((1, drawn.dna), (2, drawn.reporter)):
            resolution = (1e4 / PIXEL_UM, 1e4 / PIXEL_UM)
            tifffile.imwrite(
                place / f"{plate}_{well}_s1_w{wave}.TIF", image, resolution=resolution, resolutionunit="CENTIMETER"
            )
    write_htd(folder / f"{plate}.HTD", scenes)
    return FakePlate(folder, truth)


def write_htd(path: Path, wells: Iterable[str], n_rows: int = 16, n_columns: int = 24, sites: int = 1) -> None:
    chosen = set(wells)
    lines = [
        '"HTSInfoFile", Version 1.0',
        '"Description", "fake \xb5m plate"',
        f'"XWells", {n_columns}',
        f'"YWells", {n_rows}',
    ]
    for r in range(n_rows):
        flags = ("TRUE" if f"{chr(65 + r)}{c + 1:02d}" in chosen else "FALSE" for c in range(n_columns))
        lines.append(f'"WellsSelection{r + 1}", ' + ", ".join(flags))
    lines += [f'"Sites", {"TRUE" if sites > 1 else "FALSE"}', f'"XSites", {sites}', '"YSites", 1']
    lines += ['"SiteSelection1", ' + ", ".join(["TRUE"] * sites)] if sites > 1 else []
    lines += ['"NWavelengths", 2', '"WaveName1", "DNA"', '"WaveName2", "Reporter"', '"EndFile"']
    path.write_bytes("\r\n".join(lines).encode("latin-1"))
