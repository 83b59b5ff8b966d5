"""Chemistry at scale: the similarity kernel against this machine's limits, featurising against raw rdkit.

Other processes may be at work: what one thread does is timed by that thread's own processor time, the best of
several; what two threads or processes do, by the clock. Baselines are measured in the same run, in turns with ours.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.table import Figure, markdown

OUT = Path("bench-out")
COMMAND = "python -m bench.chem"
N_LIBRARY = 1_000_000
N_STREAMED = 100_000


def figures(n_streamed: int = N_STREAMED) -> list[Figure]:
    """Measure the kernel, featurising, and a library written and featurised in one pass."""
    return [*one_query(), *many_queries(), *featurising(), *streaming(n_streamed)]


def one_query() -> list[Figure]:
    """Hold one query against a library that no cache holds: bound by reading memory."""
    from nextplate.chem.kernel import tanimoto

    found = []
    for name, n_bytes in (("2048 bits", 256), ("4096 count bits", 512)):
        library = _random_rows(N_LIBRARY * 256 // n_bytes, n_bytes)
        for n_threads in (1, 2):
            work = partial(tanimoto, library[:1].copy(), library, n_threads=n_threads)
            seconds = _seconds(work, n_threads, 15)
            read = library.nbytes / _read_seconds(library) / 1e9
            ours = library.nbytes / seconds / 1e9
            found.append(
                Figure(
                    f"one query against {len(library):,} rows of {name}, {_threads(n_threads)}",
                    f"{len(library) / seconds / 1e6:.0f} M pairs/s, {ours:.1f} GB/s",
                    f"reading the same rows and nothing else: {read:.1f} GB/s ({ours / read:.0%} of the bound)"
                    if n_threads == 1
                    else "by the clock",
                    COMMAND,
                )
            )
    return found


def many_queries() -> list[Figure]:
    """Hold many against many: bound by the popcount, and rdkit's bulk function beside it."""
    from nextplate.chem.kernel import max_tanimoto, tanimoto

    rdkit_bits, rdkit_counts = _rdkit_bulk()
    found = []
    for name, n_bytes, theirs in (("2048 bits", 256, rdkit_bits), ("counts", 512, rdkit_counts)):
        a, b = _random_rows(1024, n_bytes), _random_rows(10_240, n_bytes)
        n_pairs = len(a) * len(b)
        peak = 1 / (n_bytes / 8 * _popcount_seconds())
        for what, work in (
            ("all similarities", lambda a=a, b=b: tanimoto(a, b, n_threads=1)),
            ("nearest reference", lambda a=a, b=b: max_tanimoto(b, a, n_threads=1)),
        ):
            ours = n_pairs / _seconds(work, 1, 7)
            text = f"popcounts from first-level cache alone: {peak / 1e6:.0f} M pairs/s ({ours / peak:.0%}); "
            text += f"rdkit bulk, {'Tanimoto' if n_bytes == 256 else 'MinMax of exact counts'}: "
            text += f"{theirs / 1e6:.1f} M pairs/s ({ours / theirs:.0f} x)"
            found.append(
                Figure(
                    f"1,024 x 10,240 rows of {name}, {what}, one thread", f"{ours / 1e6:.0f} M pairs/s", text, COMMAND
                )
            )
    return found


def _threads(n: int) -> str:
    return "one thread" if n == 1 else f"{n} threads"


def _random_rows(n: int, n_bytes: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (n, n_bytes), dtype=np.uint8)


def _read_seconds(rows: npt.NDArray[np.uint8]) -> float:
    """Time the faster of two plain readings of all words: numpy's sum and its exclusive or."""
    words = rows.view(np.uint64).ravel()
    return min(_seconds(partial(read, words), 1, 15) for read in (np.add.reduce, np.bitwise_xor.reduce))


def _seconds(work: Callable[[], Any], n_threads: int, repeats: int) -> float:
    """Time the best of several runs after a warm one: one thread by its own processor time, more by the clock."""
    clock = time.thread_time if n_threads == 1 else time.perf_counter
    work()
    best = float("inf")
    for _ in range(repeats):
        started = clock()
        work()
        best = min(best, clock() - started)
    return best


def _popcount_seconds() -> float:
    """Time AND + popcount + add of one word, the one operand in the first-level cache, the others in registers."""
    from numba import njit

    from nextplate.chem.popcount import _n_set

    @njit(nogil=True)  # type: ignore[untyped-decorator]
    def repeat(words: Any, n: int) -> Any:
        total = np.uint64(0)
        for i in range(n):
            for j in range(words.size):
                total += _n_set(np.uint64(i) & words[j])
        return total

    size, n = 2048, 10_000
    words = np.random.default_rng(1).integers(0, 2**63, size, dtype=np.uint64)
    return _seconds(lambda: repeat(words, n), 1, 9) / (size * n)


def _rdkit_bulk() -> tuple[float, float]:
    """Pairs per second of rdkit's bulk functions on 10,000 structures, bits and exact counts."""
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.DataStructs import BulkTanimotoSimilarity

    from nextplate.chem.enumeration import wehi_smiles

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    mols = [Chem.MolFromSmiles(s) for s in wehi_smiles()[:5000]]
    rates = []
    for make, n in ((generator.GetFingerprint, 60), (generator.GetSparseCountFingerprint, 15)):
        vectors = [make(mol) for mol in mols]
        spent = _seconds(lambda v=vectors, n=n: [BulkTanimotoSimilarity(q, v) for q in v[:n]], 1, 3)
        rates.append(n * len(vectors) / spent)
    return rates[0], rates[1]


def featurising(n: int = 3000) -> list[Figure]:
    """Compare our worker, per core, with the same numbers asked of rdkit in a plain loop."""
    from nextplate.chem.enumeration import building_blocks, recombine, wehi_smiles

    wehi = wehi_smiles()[:: 10_000 // n][:n]
    blocks = building_blocks(wehi_smiles()[::4])
    made = [smiles for _, smiles in recombine(blocks, n, seed=1)]
    catalog = _raw_catalog()
    found = []
    for name, smiles in (("WEHI, as sent", wehi), (f"recombined, mean {_mean_atoms(made):.0f} atoms", made)):
        works: dict[str, Callable[[], Any]] = {
            "bare": lambda s=smiles: _raw_bare(s),
            "raw": lambda s=smiles: _raw_features(s),
            "ours": lambda s=smiles: _our_features(s, with_alerts=False),
            "all raw": lambda s=smiles: _raw_everything(s, catalog),
            "all ours": lambda s=smiles: _our_features(s, with_alerts=True),
        }
        rate = {key: len(smiles) / spent for key, spent in _in_turns(works).items()}
        found += [
            Figure(
                f"{name}: standardise, ECFP4 bits + counts, atom pairs, 22 descriptors",
                f"{rate['ours']:.0f} compounds/s per core",
                f"rdkit: parse, Morgan bits + counts, atom-pair counts, same descriptors, not standardised: "
                f"{rate['raw']:.0f} /s ({rate['ours'] / rate['raw']:.0%}); Morgan bits and descriptors alone: "
                f"{rate['bare']:.0f} /s ({rate['ours'] / rate['bare']:.0%})",
                COMMAND,
            ),
            Figure(
                f"{name}: and scaffold, PAINS, reactive groups",
                f"{rate['all ours']:.0f} compounds/s per core",
                f"rdkit: Cleanup + FragmentParent + Uncharger, canonical SMILES, Morgan, pairs, descriptors, Murcko, "
                f"FilterCatalog: {rate['all raw']:.0f} /s ({rate['all ours'] / rate['all raw']:.0%})",
                COMMAND,
            ),
        ]
    return found


def _mean_atoms(smiles: Sequence[str]) -> float:
    from rdkit import Chem

    return float(np.mean([Chem.MolFromSmiles(s).GetNumHeavyAtoms() for s in smiles[:300]]))


def _in_turns(works: dict[str, Callable[[], Any]], repeats: int = 3) -> dict[str, float]:
    """Give the least processor seconds of each, run in turns so that none has a quieter machine."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeats):
        for name, work in works.items():
            started = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - started)
    return best


def _raw_tools() -> tuple[Any, Any, Any]:
    from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

    from nextplate.chem.describe import _PROPERTIES

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    pairs = rdFingerprintGenerator.GetAtomPairGenerator()
    return generator, pairs, rdMolDescriptors.Properties(list(_PROPERTIES.values()))


def _raw_bare(smiles: Sequence[str]) -> None:
    from rdkit import Chem

    generator, _, properties = _raw_tools()
    for s in smiles:
        mol = Chem.MolFromSmiles(s)
        generator.GetFingerprint(mol)
        properties.ComputeProperties(mol)


def _raw_features(smiles: Sequence[str]) -> None:
    from rdkit import Chem

    generator, pairs, properties = _raw_tools()
    for s in smiles:
        mol = Chem.MolFromSmiles(s)
        generator.GetFingerprint(mol)
        generator.GetCountFingerprint(mol)
        pairs.GetSparseCountFingerprint(mol)
        properties.ComputeProperties(mol)


def _raw_everything(smiles: Sequence[str], catalog: Any) -> None:
    from rdkit import Chem, rdBase
    from rdkit.Chem.MolStandardize import rdMolStandardize
    from rdkit.Chem.Scaffolds import MurckoScaffold

    generator, pairs, properties = _raw_tools()
    uncharger = rdMolStandardize.Uncharger()
    with rdBase.BlockLogs():
        for s in smiles:
            mol = rdMolStandardize.Cleanup(Chem.MolFromSmiles(s))
            mol = uncharger.uncharge(rdMolStandardize.FragmentParent(mol, skipStandardize=True))
            Chem.MolToSmiles(mol)
            generator.GetFingerprint(mol)
            generator.GetCountFingerprint(mol)
            pairs.GetSparseCountFingerprint(mol)
            properties.ComputeProperties(mol)
            MurckoScaffold.MurckoScaffoldSmiles(mol=mol)
            [entry.GetDescription() for entry in catalog.GetMatches(mol)]


def _raw_catalog() -> Any:
    from rdkit import rdBase
    from rdkit.Chem import FilterCatalog

    from nextplate.chem.alerts import REACTIVE

    with rdBase.BlockLogs():
        params = FilterCatalog.FilterCatalogParams()
        params.AddCatalog(FilterCatalog.FilterCatalogParams.FilterCatalogs.PAINS)
        catalog = FilterCatalog.FilterCatalog(params)
        for name, smarts in REACTIVE.items():
            catalog.AddEntry(FilterCatalog.FilterCatalogEntry(name, FilterCatalog.SmartsMatcher(name, smarts)))
    return catalog


def _our_features(smiles: Sequence[str], *, with_alerts: bool) -> None:
    from nextplate.chem.delimited import Record
    from nextplate.chem.stream import _CHUNK, _prepare

    for start in range(0, len(smiles), _CHUNK):
        records = [Record(i, (s, f"C{i}")) for i, s in enumerate(smiles[start : start + _CHUNK])]
        _prepare(records, smiles_at=0, id_at=1, with_alerts=with_alerts)


def streaming(n: int) -> list[Figure]:
    """Featurise WEHI, written out until it is n rows, and a make-on-demand library, each in one pass."""
    from nextplate.chem.enumeration import wehi_smiles, write_library

    OUT.mkdir(exist_ok=True)
    wehi, made = OUT / f"wehi-{n}.csv", OUT / f"recombined-{n}.csv"
    smiles = wehi_smiles()
    rows = [f"C{i},{smiles[i % len(smiles)]}\n" for i in range(n)]
    wehi.write_text("compound_id,smiles\n" + "".join(rows), encoding="utf-8")
    started = time.perf_counter()
    write_library(made, n, seed=1)
    written_s = time.perf_counter() - started
    enumerated = Figure(
        f"{n:,} compounds recombined and written, 2 processes", f"{written_s:.0f} s",
        f"1 M: {written_s * 1e6 / n / 60:.1f} min at this rate", f"python -m bench.enumerate_library {n} OUT",
    )  # fmt: skip
    return [streamed("WEHI, as sent", wehi, n), enumerated, streamed("recombined", made, n)]


def streamed(name: str, path: Path, n: int) -> Figure:
    """Featurise a file of n rows in one pass, rdkit's plain loop before and after, and the memory it took."""
    import resource

    from nextplate.chem.stream import stream_library

    parent = OUT / "library"
    shutil.rmtree(parent, ignore_errors=True)
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    sample = [line.split(",")[1] for line in lines[:: max(1, min(10_000, n) // 3000)][:3000]]
    raw = [_in_turns({"raw": lambda: _raw_features(sample)}, 1)["raw"]]
    before, started = os.times(), time.perf_counter()
    result = stream_library(path, lambda digest: parent / digest[:16], parent, with_alerts=False)
    streamed_s, after = time.perf_counter() - started, os.times()
    cpu_s = sum(after[:4]) - sum(before[:4])
    raw.append(_in_turns({"raw": lambda: _raw_features(sample)}, 1)["raw"])
    raw_rate = 2 * len(sample) / sum(raw)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size_mb = sum(p.stat().st_size for p in result.features.folder.iterdir()) / 1e6
    per_million = 1e6 / n
    return Figure(
        f"{name}: {n:,} compounds featurised in one pass, 2 processes",
        f"{n / cpu_s:.0f} compounds/s per core ({streamed_s:.0f} s by the clock, {cpu_s:.0f} s of processor); "
        f"{size_mb:.0f} MB on disk; this process, bench included, never above {peak_mb:.0f} MB",
        f"rdkit as above, before and after: {raw_rate:.0f} /s ({n / cpu_s / raw_rate:.0%}, starting the processes "
        f"and writing included). 1 M: {cpu_s * per_million / 60:.1f} processor minutes at this rate, "
        f"{size_mb * per_million / 1e3:.1f} GB",
        COMMAND,
    )


if __name__ == "__main__":
    print(markdown(figures(*[int(a.replace("_", "")) for a in sys.argv[1:2]])))
