"""Whole-image networks: what they cost, how fast they run here, and what they see on BBBC013.

``PYTHONPATH=src:. NEXTPLATE_DATA=../shared python -m bench.networks [speed] [feed] [bbbc013]``. Timings are minima
of repeats; the compared runs take turns, so that a machine that is shared is shared fairly.
"""

import copy
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.bbbc013 import experiment, table
from bench.table import Figure, markdown, spread

COMMAND = "python -m bench.networks"
OUT = Path("bench-out/networks")
SIZE = (1024, 1280)
Clock = Callable[[], float]
_N_TURNS = 7


def figures() -> list[Figure]:
    """Measure everything."""
    return [*speed(), *feed(), *bbbc013()]


def speed() -> list[Figure]:
    """Time the network on one thread by its processor time and on two threads by the clock.

    Processor time of one thread hardly moves when others work on the machine; the clock of two threads does, by a
    factor of two and more, because each waits for the other to be given a core.
    """
    return [*_speed(1, time.process_time, "processor time"), *_speed(2, time.perf_counter, "by the clock")]


def _speed(n_threads: int, clock: Clock, how: str) -> list[Figure]:
    """Forward and training of one field of 1024 x 1280 x 3, beside the same network written plainly in float32.

    The work counted is the dense one, three times forward for training. Ours leaves out gradients that are zero, so its
    share of the peak is what the same answer is worth, not how busy the cores are.
    """
    import torch

    from nextplate.imaging.networks.architecture import Architecture, forward_gflop
    from nextplate.imaging.networks.mcnn import build

    torch.set_num_threads(n_threads)
    of = f"{n_threads} threads, {how}" if n_threads > 1 else f"1 thread, {how}"
    shape = Architecture(3, 13)
    network = build(shape, np.random.default_rng(1))
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    images = torch.rand(1, 3, *SIZE)
    last = images.to(memory_format=torch.channels_last)
    work: dict[str, Callable[[], object]] = {}
    for name, call in (
        ("plain float32", lambda: _plainly(plain, images)),
        ("float32", lambda: network(last)),
        ("bfloat16", lambda: network(last)),
    ):
        is_half = name == "bfloat16"
        work[f"{name}, forward"] = _forward(call, is_half)
        work[f"{name}, training"] = _training(call, plain if name.startswith("plain") else network, is_half)
    best = in_turns(work, clock=clock)
    peak = {kind: max(rates(kind, clock).values()) for kind in ("float32", "bfloat16")}
    gflop = forward_gflop(shape, *SIZE)
    mpx = SIZE[0] * SIZE[1] / 1e6
    found = [
        Figure(f"fastest product or convolution, {kind}", f"{rate:.0f} GFLOP/s", of, f"{COMMAND} speed")
        for kind, rate in peak.items()
    ]
    for name, spent in best.items():
        kind, _, what = name.partition(", ")
        done = gflop * (3 if what == "training" else 1)
        rate = done / spent
        top = peak["bfloat16" if kind == "bfloat16" else "float32"]
        ratio = best[f"plain float32, {what}"] / spent
        found.append(
            Figure(
                f"M-CNN {what}, {kind}; {of}",
                f"{1 / spent:.2f} images/s ({mpx / spent / n_threads:.2f} Mpx/s per core, {rate:.0f} dense GFLOP/s)",
                f"{ratio:.2f} x plain; {100 * rate / top:.0f} % of the fastest",
                f"{COMMAND} speed",
            )
        )
    return found


_SIDE = 2048
_PROBE = (64, 256, 320)
"""Channels, height and width of the convolution that is timed, 5x5."""


def rates(kind: str, clock: Clock) -> dict[str, float]:
    """Return GFLOP/s of a large matrix product, and of a convolution in both layouts, on this machine now."""
    import torch
    from torch.nn import functional

    dtype = getattr(torch, kind)
    a, b = (torch.rand(_SIDE, _SIDE).to(dtype) for _ in range(2))
    work: dict[str, Callable[[], object]] = {"product": lambda: a @ b}
    c, h, w = _PROBE
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.rand(1, c, h, w).to(dtype).to(memory_format=layout)
        k = torch.rand(c, c, 5, 5).to(dtype).to(memory_format=layout)
        work[str(layout)] = lambda x=x, k=k: functional.conv2d(x, k, padding=2)  # type: ignore[misc]
    with torch.inference_mode():
        spent = in_turns(work, clock=clock)
    gflop = {name: 2e-9 * (_SIDE**3 if name == "product" else 25 * c * c * h * w) for name in work}
    print(kind, {name: round(gflop[name] / s) for name, s in spent.items()}, "GFLOP/s", flush=True)
    return {name: gflop[name] / s for name, s in spent.items()}


def in_turns(
    work: dict[str, Callable[[], object]], n: int = _N_TURNS, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """Return the least time of each, run one after the other n times after a warm round."""
    best = dict.fromkeys(work, float("inf"))
    for turn in range(n + 1):
        for name, call in work.items():
            started = clock()
            call()
            if turn:
                best[name] = min(best[name], clock() - started)
    return best


def _forward(call: Callable[[], Any], is_half: bool) -> Callable[[], object]:
    import torch

    def run() -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            return call()

    return run


def _training(call: Callable[[], Any], network: Any, is_half: bool) -> Callable[[], object]:
    import torch
    from torch.nn import functional

    def run() -> object:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            out = call()
        return functional.cross_entropy(out.float(), torch.tensor([1])).backward()

    return run


def _plainly(network: Any, images: Any) -> Any:
    """The network as the paper draws it, in the framework's own order and layout."""
    import torch
    from torch.nn import functional

    grids = []
    for n, branch in enumerate(network.branches):
        x = functional.max_pool2d(images, 2**n) if n else images
        for convolution in branch.convolutions:
            x = functional.relu(convolution(x))
        grids.append(functional.max_pool2d(x, 2 ** (6 - n)) if n < 6 else x)
    mixed = functional.relu(network.mix(torch.cat(grids, 1)))
    return network.output(functional.relu(network.hidden(mixed.mean((2, 3)))))


def feed() -> list[Figure]:
    """Decode against compute: BBBC013 from its files, from the cache, and what a training waits."""
    import torch

    from bench.bbbc013 import plate
    from nextplate.imaging.networks.architecture import Architecture
    from nextplate.imaging.networks.augmentation import Augmentation
    from nextplate.imaging.networks.batches import Plan, Share, training_batches
    from nextplate.imaging.networks.cache import fill_cache
    from nextplate.imaging.networks.fields import fields_of, to_target
    from nextplate.imaging.networks.normalisation import Normalisation, scale_of
    from nextplate.imaging.networks.recipe import Recipe
    from nextplate.imaging.networks.training import Shown, train

    torch.set_num_threads(2)
    p = plate()
    fields = fields_of([p.readout])
    folder = OUT / "feed"
    decode: list[float] = []
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        started = time.perf_counter()
        cache = fill_cache(folder, fields, n_threads=2)
        decode.append(time.perf_counter() - started)
    scale = scale_of(cache.pixels, fields.plates, cache.usable, Normalisation())
    plan = Plan(cache.usable, 12, 5, 1)
    common = {"first": 0, "share": Share(), "n_threads": 2, "pins": False}
    cut = in_turns(
        {"cut": lambda: [b.rows for b in training_batches(cache.pixels, scale, plan, Augmentation(), **common)]}, 3
    )
    labels = {(None, w): f"{s}@{d}" for w, s, d in zip(p.wells, p.series, p.dose, strict=True)}
    target = to_target(fields, labels, "treatment")
    shown = Shown(cache, fields, target, cache.usable[::4], Normalisation())
    trained = train(
        shown, Architecture(2, len(target.classes or ())), Recipe(n_epochs=1, batch=4), clock=time.perf_counter
    )
    n, n_cut = len(cache.usable), plan.n_steps * plan.batch
    spent = trained.wait_s + trained.compute_s
    command = f"{COMMAND} feed"
    return [
        Figure("fields decoded, 640 x 640 x 2 zlib", f"{n / min(decode):.0f} fields/s", "2 threads", command),
        Figure("fields cut and turned from the cache", f"{n_cut / cut['cut']:.0f} fields/s", "2 threads", command),
        Figure(
            "training waits for pixels", f"{100 * trained.wait_s / spent:.2f} % of {spent:.1f} s",
            f"computing: {len(trained.losses) * 4 / trained.compute_s:.1f} fields/s", command,
        ),
    ]  # fmt: skip


def bbbc013() -> list[Figure]:
    """Leave one replicate out on BBBC013; one thread, which loses less than two on a machine that is shared."""
    import torch

    torch.set_num_threads(1)
    started = time.perf_counter()
    found = experiment(OUT / "bbbc013")
    print(table(found), flush=True)
    print(f"{time.perf_counter() - started:.0f} s", flush=True)
    command = f"{COMMAND} bbbc013"
    return [
        Figure(
            f"BBBC013, {name}",
            f"both right {spread([100 * f.both for f in rows])} %, mAP {spread([100 * f.precision for f in rows])} %",
            "nearest training well; 4 replicates held out", command,
        )
        for name, rows in found.items()
    ]  # fmt: skip


def main() -> None:
    """Measure the sections named, or all."""
    sections = {"speed": speed, "feed": feed, "bbbc013": bbbc013}
    for name in sys.argv[1:] or list(sections):
        print(markdown(sections[name]()), flush=True)


if __name__ == "__main__":
    main()
