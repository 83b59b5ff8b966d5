"""Small MetaXpress plates on which classes differ in a way that a network can see."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

SIZE = 64


def draw(kind: int, rng: np.random.Generator, size: int = SIZE, gain: float = 1.0) -> npt.NDArray[np.uint16]:
    """Stripes of a class's own period and channel contrast, at a random phase; shape (channels, size, size)."""
    y, x = np.mgrid[:size, :size]
    phase = rng.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * (x if rng.integers(2) else y) / (4 + 5 * kind) + phase)
    planes = [800 + 300 * wave, 600 + 150 * (kind + 1) * (wave > 0.3)]
    noisy = [gain * p + rng.normal(0, 20, p.shape) for p in planes]
    return np.clip(noisy, 1, 65535).astype(np.uint16)


def plate_of(
    folder: Path, kinds: Mapping[str, int], *, sites: int = 2, seed: int = 1, size: int = SIZE, gain: float = 1.0
) -> Path:
    """Write <name>_<well>_s1_w1.tif and _w2.tif for every well."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for well, kind in kinds.items():
        for site in range(1, sites + 1):
            for wave, plane in enumerate(draw(kind, rng, size, gain), 1):
                tifffile.imwrite(folder / f"{folder.name}_{well}_s{site}_w{wave}.tif", plane)
    return folder


def wells_of(n: int, n_kinds: int) -> dict[str, int]:
    return {f"{'ABCDEFGH'[i // 12]}{i % 12 + 1:02d}": i % n_kinds for i in range(n)}
