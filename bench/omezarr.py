"""OME-Zarr export: written and read back per core, beside what the codecs alone can do on the same pixels.

``PYTHONPATH=src:. NEXTPLATE_DATA=../shared python -m bench.omezarr``
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from bench.table import Figure, markdown
from bench.timing import seconds as best
from nextplate.imaging import export_plate, list_planes
from nextplate.imaging.listing import Listing
from nextplate.imaging.pixels import read_pixels

COMMAND = "python -m bench.omezarr"
OUT = Path("bench-out/omezarr")
BBBC013 = r"Channel(?P<channel>\d)-\d+-(?P<row>[A-H])-(?P<column>\d+)\.tif"
_N_FIELDS = 24
# Not getrusage: its peak counts this process too, from before the new one's program was loaded.
_PEAK = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"

Pixels = npt.NDArray[Any]


def main() -> None:
    """Measure and print."""
    print(markdown(figures()))


def figures() -> list[Figure]:
    """Measure three real plates: LZW and deflate sources of 16 bit, deflate of 8 bit."""
    images = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images"
    phenix, nf1 = images / "opera-phenix" / "Version1", images / "nf1-cellpainting" / "Plate_2_images"
    bbbc013 = images / "bbbc013" / "images"
    return [
        *_of("Opera Phenix, 6 channels 1080 px, LZW", repeated(list_planes(phenix), _N_FIELDS), phenix),
        *_of("NF1 Cell Painting, 904 x 1224, deflate", repeated(list_planes(nf1), 6), nf1),
        *_of("BBBC013, 640 px of 8 bit, deflate", list_planes(bbbc013, pattern=BBBC013), bbbc013),
        *_memory(phenix),
    ]


def repeated(listing: Listing, n_fields: int) -> Listing:
    """Return a plate whose fields are there many times over; the files are the same ones."""
    planes = tuple(replace(p, field=n) for n in range(1, n_fields + 1) for p in listing.planes)
    return replace(listing, planes=planes)


def _of(what: str, listing: Listing, folder: Path) -> list[Figure]:
    target = OUT / "plate.zarr"
    sample = [read_pixels(p.path, page=p.page) for p in listing.planes[:36]]
    n_mpx = sum(s.size for s in sample) / len(sample) * len(listing.planes) / 1e6
    one, two = (n_mpx / min(_export(listing, folder, target, n) for _ in range(3)) for n in (1, 2))
    back = list_planes(target).planes
    read = n_mpx / best(lambda: [read_pixels(p.path, page=p.page) for p in back])
    share = len(sample) / len(back)
    source = share * n_mpx / best(lambda: [read_pixels(p.path, page=p.page) for p in listing.planes[:36]])
    packed, unpacked = codec(sample, "blosc")
    packed_zstd, unpacked_zstd = codec(sample, "zstd")
    raw = n_mpx * 1e6 * sample[0].itemsize
    n_in, n_full = sum(p.path.stat().st_size for p in listing.planes), level_bytes(target, "0")
    limits = f"tifffile decodes {source:.0f}; packing alone: our codec {packed:.0f}, zstd 3 {packed_zstd:.0f}"
    unpacking = f"tifffile reads the source {source:.0f}; unpacking alone: {unpacked:.0f}, zstd 3 {unpacked_zstd:.0f}"
    sizes = f"source {n_in / raw:.2f}; the full resolution alone {n_full / raw:.2f}"
    return [
        Figure(f"{what}: exported with pyramid, 1 thread", f"{one:.0f} Mpx/s", limits, COMMAND),
        Figure(f"{what}: exported, 2 threads", f"{two:.0f} Mpx/s", f"1 thread {one:.0f}", COMMAND),
        Figure(f"{what}: read back, 1 thread", f"{read:.0f} Mpx/s", unpacking, COMMAND),
        Figure(f"{what}: size", f"{level_bytes(target, '*') / raw:.2f} of raw", sizes, COMMAND),
    ]


def _export(listing: Listing, folder: Path, target: Path, n_threads: int) -> float:
    shutil.rmtree(target, ignore_errors=True)
    started = time.perf_counter()
    export_plate(listing, folder, target, n_threads=n_threads)
    return time.perf_counter() - started


def level_bytes(target: Path, level: str) -> int:
    """Count the bytes of the chunks of a level, '*' for all."""
    return sum(p.stat().st_size for p in target.glob(f"*/*/*/{level}/c/**/*") if p.is_file())


def codec(sample: Sequence[Pixels], name: str) -> tuple[float, float]:
    """Return the Mpx/s a codec alone packs and unpacks."""
    raw = [np.ascontiguousarray(s) for s in sample]
    if name == "zstd":
        pack: Callable[[Pixels], bytes] = lambda s: bytes(imagecodecs.zstd_encode(s, level=3))  # noqa: E731
        unpack: Callable[[bytes, int], object] = lambda data, n: imagecodecs.zstd_decode(data, out=n)  # noqa: E731
    else:
        how = {"level": 1, "compressor": "zstd", "shuffle": 2, "numthreads": 1}
        pack = lambda s: bytes(imagecodecs.blosc_encode(s.tobytes(), typesize=s.itemsize, **how))  # noqa: E731
        unpack = lambda data, _: imagecodecs.blosc_decode(data)  # noqa: E731
    packed = [pack(s) for s in raw]
    n_px = sum(s.size for s in raw) / 1e6
    return (
        n_px / best(lambda: [pack(s) for s in raw]),
        n_px / best(lambda: [unpack(data, s.nbytes) for data, s in zip(packed, raw, strict=True)]),
    )


def _memory(folder: Path) -> list[Figure]:
    """Return the peak memory of exporting few and many fields, each in a process of its own."""
    few, many = (_peak_mb(folder, n) for n in (4, 48))
    what = "peak memory, 48 fields of 6 channels 1080 px, 2 threads"
    return [Figure(what, f"{many:.0f} MB", f"4 fields: {few:.0f} MB", COMMAND)]


def _peak_mb(folder: Path, n: int) -> float:
    script = (
        "from pathlib import Path; from bench.omezarr import OUT, _export, repeated; "
        "from nextplate.imaging import list_planes; "
        f"f = Path({str(folder)!r}); _export(repeated(list_planes(f), {n}), f, OUT / 'peak.zarr', 2); {_PEAK}"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return float(done.stdout) / 1024


if __name__ == "__main__":
    main()
