"""The hot paths of single rooms, each against a plain baseline in the same run."""

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.table import Figure
from bench.timing import seconds

OUT = Path("bench-out")
COMMAND = "python -m bench.run rooms"


def figures() -> list[Figure]:
    """Measure every room."""
    return [*imaging(), *similarity(), *journal()]


def imaging() -> list[Figure]:
    """Render a 384-well plate, measure it, and measure some of its fields one object at a time as a script would."""
    from nextplate.imaging import MeasureParams, measure, open_readout

    folder, rendered_s = _render_plate(OUT / "plate")
    readout = open_readout(folder)
    n, n_px = len(readout.images), 540 * 540
    measured_s = seconds(lambda: measure(readout, MeasureParams()))
    pairs = [(readout.images[i].path, readout.images[i + 1].path) for i in range(0, 48, 2)]
    plain_s = seconds(lambda: [_measure_plainly(*pair) for pair in pairs], 1) / len(pairs)
    ours_s = measured_s / (n / 2)
    read_s = seconds(lambda: [p.read_bytes() for i in readout.images[:200] if (p := i.path)]) / 200
    return [
        Figure("images rendered and written", f"{n / rendered_s:.0f} /s", f"{n} images, one plate", COMMAND),
        Figure("images measured, 2 threads", f"{n / measured_s:.0f} /s", f"read only: {1 / read_s:.0f} /s", COMMAND),
        Figure("pixels measured", f"{n * n_px / measured_s / 1e6:.0f} Mpx/s", "-", COMMAND),
        Figure(
            "one field of two channels", f"{1000 * ours_s:.1f} ms",
            f"label + loop over objects: {1000 * plain_s:.0f} ms ({plain_s / ours_s:.0f} x)", COMMAND,
        ),
    ]  # fmt: skip


def _render_plate(folder: Path) -> tuple[Path, float]:
    from drivers.ports import AcquirePlate, Move, MovePlates
    from sim.lab import SimLab, SimSettings

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with SimLab.open(folder, SimSettings(seed=1)) as lab:
        lab.deliver_assay_plates(["P1"])
        lab.mover.submit(MovePlates((Move("P1", "stack/new", "imager"),)), "move")
        lab.clock.wait_until(lab.mover.poll("move").ready_at or lab.clock.now())
        lab.imager.submit(AcquirePlate("P1"), "image")
        started = time.perf_counter()
        lab.clock.wait_until(lab.imager.poll("image").ready_at or lab.clock.now())
        spent = time.perf_counter() - started
        return folder / str(lab.imager.poll("image").result["folder"]), spent


def _measure_plainly(dna_path: Path, reporter_path: Path) -> list[float]:
    """Measure a field as a 20-line script does: threshold, label, one mask and one dilation per object."""
    import tifffile
    from scipy import ndimage

    dna, reporter = (tifffile.imread(p).astype(np.float64) for p in (dna_path, reporter_path))
    smooth = ndimage.gaussian_filter(dna, 2)
    labels, n = ndimage.label(smooth > smooth.mean() + smooth.std())
    return [_ratio_plainly(labels == i, reporter, labels > 0) for i in range(1, n + 1)]


def _ratio_plainly(
    mask: npt.NDArray[np.bool_], reporter: npt.NDArray[np.float64], nuclei: npt.NDArray[np.bool_]
) -> float:
    from scipy import ndimage

    ring = ndimage.binary_dilation(mask, iterations=6) & ~ndimage.binary_dilation(mask, iterations=2) & ~nuclei
    return float(reporter[mask].mean() / reporter[ring].mean()) if ring.any() else float("nan")


def similarity() -> list[Figure]:
    """Compare packed Tanimoto with RDKit's bulk function."""
    from rdkit.DataStructs import BulkTanimotoSimilarity, ExplicitBitVect

    from nextplate.chem.similarity import tanimoto

    rng = np.random.default_rng(1)
    bits = rng.random((10_000, 2048)) < 0.025
    packed = np.packbits(bits, axis=1)
    vectors = []
    for row in bits:
        vector = ExplicitBitVect(2048)
        vector.SetBitsFromList(np.flatnonzero(row).tolist())
        vectors.append(vector)
    ours = 1000 * 10_000 / seconds(lambda: tanimoto(packed[:1000], packed))
    theirs = 50 * 10_000 / seconds(lambda: [BulkTanimotoSimilarity(v, vectors) for v in vectors[:50]])
    text = f"RDKit bulk: {theirs / 1e6:.1f} M pairs/s ({ours / theirs:.1f} x)"
    return [Figure("Tanimoto, 2048 bits", f"{ours / 1e6:.0f} M pairs/s", text, COMMAND)]


def journal() -> list[Figure]:
    """Append single events with full synchronisation; read and verify many."""
    from controller.store import NewEvent, open_store

    path = OUT / "journal.db"
    for old in OUT.glob("journal.db*"):
        old.unlink()
    event = NewEvent("note", datetime(2026, 1, 1, tzinfo=UTC), None, {"key": "first.r0.run-0", "status": "done"})
    with open_store(path, create=True) as store:
        single = 200 / seconds(lambda: [store.append([event]) for _ in range(200)], 1)
        store.append([event] * 20_000)
        n = store.head().seq
        read = n / seconds(lambda: sum(1 for _ in store.events()))
        verify = n / seconds(store.verify)
    probe = OUT / "fsync.bin"
    synced = 200 / seconds(lambda: [_write_synced(probe) for _ in range(200)], 1)
    return [
        Figure(
            "journal, events appended one by one", f"{single:.0f} /s", f"bare write + fsync: {synced:.0f} /s", COMMAND
        ),
        Figure("journal, events read", f"{read / 1000:.0f} k/s", f"verified: {verify / 1000:.0f} k/s", COMMAND),
    ]


def _write_synced(path: Path) -> None:
    import os

    with path.open("ab") as file:
        file.write(b"x" * 300)
        file.flush()
        os.fsync(file.fileno())
