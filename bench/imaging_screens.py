"""Real imaging screens and the assays that came after them, read from ../shared/data.

LINCS Cell Painting batch 1 (Broad, CC0): 1,570 drugs in A549 cells for 48 h at six doses, about five plates each. The
data at hand hold its cell counts; its profiles are not there. Tox21 (MoleculeNet): twelve later assays, 0/1.
"""

import csv
import gzip
import io
import os
import tarfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nextplate.chem.describe import DESCRIPTOR_NAMES, describe
from nextplate.chem.standardise import standardise_all
from nextplate.compound import Features
from nextplate.profiles import Profiles

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
BATCH = "2016_04_01_a549_48hr_batch1"
DOSES_UM = (0.04, 0.12, 0.37, 1.11, 3.33, 10.0)
ASSAYS = (
    "NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma",
    "SR-ARE", "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Screened:
    """Compounds with assay labels, some of which an imaging screen saw before."""

    features: Features
    scaffolds: tuple[str, ...]
    """Murcko; an acyclic compound is a group of its own."""
    labels: dict[str, FloatArray]
    """By assay, each shape (n,): 0, 1 or NaN."""
    profiles: Profiles


def data_folder() -> Path:
    """Return the folder of the shared data."""
    return Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data"


def connectivity(smiles: str) -> str:
    """Return the first block of the InChIKey: the skeleton, without stereochemistry and charge."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))[:14]


def cell_counts(root: Path) -> dict[str, FloatArray]:
    """Give each LINCS compound's cell counts: log2 of count over the plate's DMSO median, median over plates, by dose.

    Returns:
        By broad id (BRD- and nine characters), shape (6,): lowest dose first; NaN where a dose was not imaged.
    """
    with tarfile.open(root / "lincs_cellcount" / "batch1_cellcount_and_platemaps.tar.gz") as tar:
        texts = {m.name: tar.extractfile(m).read().decode() for m in tar.getmembers() if m.isfile()}  # type: ignore[union-attr]
    maps = {Path(name).stem: _platemap(text) for name, text in texts.items() if "/platemap/" in name}
    barcodes = next(text for name, text in texts.items() if name.endswith("barcode_platemap.csv"))
    map_of = {r["Assay_Plate_Barcode"]: r["Plate_Map_Name"] for r in csv.DictReader(io.StringIO(barcodes))}
    found: dict[str, list[list[float]]] = defaultdict(lambda: [[] for _ in DOSES_UM])
    for name, text in texts.items():
        if name.endswith("_cell_count.csv"):
            _add_plate(found, text, maps[map_of[Path(name).parent.name]])
    return {k: np.array([np.median(v) if v else np.nan for v in doses]) for k, doses in found.items()}


def _platemap(text: str) -> dict[str, tuple[str, float]]:
    """Compound ('' for DMSO) and dose by well."""
    table = csv.DictReader(io.StringIO(text), delimiter="\t")
    return {r["well_position"]: (r["broad_sample"][:13], float(r["mmoles_per_liter"] or 0)) for r in table}


def _add_plate(found: dict[str, list[list[float]]], text: str, wells: dict[str, tuple[str, float]]) -> None:
    counts = {r["Image_Metadata_Well"]: float(r["cell_count"]) for r in csv.DictReader(io.StringIO(text))}
    control = np.median([n for well, n in counts.items() if wells.get(well, ("", 0))[0] == ""])
    for well, n in counts.items():
        compound, dose_um = wells.get(well, ("", 0.0))
        if compound:
            step = int(np.argmin(np.abs(np.log(np.array(DOSES_UM) / dose_um))))
            found[compound][step].append(float(np.log2((n + 10) / (control + 10))))


def lincs_structures(root: Path) -> dict[str, str]:
    """Give the structure of each LINCS compound by broad id."""
    with gzip.open(root / "lincs_cellcount" / "repurposing_info.tsv.gz", "rt", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["broad_id"][:13]: row["smiles"].split(",")[0].strip() for row in rows if row["smiles"]}


def tox21_after_lincs(root: Path, n_without: int = 0, n_rows: int | None = None) -> Screened:
    """Read the Tox21 compounds that LINCS had imaged, and n_without more that it had not, of the first n_rows.

    Compounds are matched by the first block of the InChIKey of the standardised parent; of several Tox21 entries of
    one skeleton an assay takes the largest label.
    """
    counts, written = cell_counts(root), lincs_structures(root)
    names = [name for name in counts if name in written]
    standard = standardise_all([written[name] for name in names])
    imaged = {connectivity(s.smiles): counts[n] for n, s in zip(names, standard, strict=True) if not isinstance(s, str)}
    labels, smiles = _tox21(root, set(imaged), n_without, n_rows)
    keys = tuple(labels)
    features, scaffolds = _describe(keys, [smiles[key] for key in keys])
    values = np.array([imaged[k] for k in keys if k in imaged], dtype=np.float32)
    columns = tuple(f"log2 cells at {d:g} uM" for d in DOSES_UM)
    profiles = Profiles(tuple(k for k in keys if k in imaged), values, columns, columns[-1:])
    by_assay = {a: np.array([labels[k][j] for k in keys]) for j, a in enumerate(ASSAYS)}
    return Screened(replace(features, profiles=profiles), scaffolds, by_assay, profiles)


def _tox21(
    root: Path, imaged: set[str], n_without: int, n_rows: int | None
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    with (root / "moleculenet" / "tox21.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:n_rows]
    labels: dict[str, FloatArray] = {}
    smiles: dict[str, str] = {}
    n_left = n_without
    order = np.random.default_rng(0).permutation(len(rows))
    for row, standard in (
        (rows[i], s) for i, s in zip(order, standardise_all([rows[i]["smiles"] for i in order]), strict=True)
    ):
        if isinstance(standard, str):
            continue
        key = connectivity(standard.smiles)
        if key not in imaged and key not in labels:
            if n_left == 0:
                continue
            n_left -= 1
        smiles.setdefault(key, standard.smiles)
        values = np.array([float(row[a]) if row[a] else np.nan for a in ASSAYS])
        labels[key] = np.fmax(labels.get(key, np.full(len(ASSAYS), np.nan)), values)
    return labels, smiles


def _describe(keys: tuple[str, ...], smiles: list[str]) -> tuple[Features, tuple[str, ...]]:
    seen = describe(smiles)
    features = Features(
        Path(),
        "tox21",
        keys,
        tuple(smiles),
        seen.fingerprints,
        seen.descriptors,
        DESCRIPTOR_NAMES,
        seen.counts,
        seen.pairs,
    )
    return features, tuple(s or key for s, key in zip(seen.scaffolds, keys, strict=True))


def earlier_assays(root: Path, n_assays: int) -> tuple[dict[str, Screened], int]:
    """Read ChEMBL assays of Cell Painting compounds: each, and what earlier ones had said of its compounds.

    The 10,574 compounds are known by InChIKey; those whose structure is found among the 16,978 of Moshkov et al. by its
    first block are taken. An assay's profile is the labels (1, -1, missing) of the assays with a smaller ChEMBL number,
    its 'cell count' the number of them it was active in over the number it was tested in.

    Returns:
        The n_assays with the most labels of the rarer class, and how many compounds have a structure.
    """
    from scipy.io import mmread

    folder = root / "cellpainting_bioassay_labels"
    with (folder / "row-compound-index.csv").open(encoding="utf-8") as file:
        keys = [row["INCHIKEY"][:14] for row in csv.DictReader(file)]
    assays = (folder / "column-assay-index.csv").read_text(encoding="utf-8").split()[1:]
    matrix = np.asarray(mmread(folder / "label-matrix.mtx").todense(), dtype=np.float32)
    structures = _structures_by_key(folder / "smiles.txt", set(keys))
    chosen = [i for i, key in enumerate(keys) if key in structures]
    labels = np.where(matrix[chosen] == 0, np.nan, matrix[chosen])
    ids = tuple(f"compound {i}" for i in chosen)
    features, scaffolds = _describe(ids, [structures[keys[i]] for i in chosen])
    rarer = np.minimum((labels == 1).sum(axis=0), (labels == -1).sum(axis=0))
    order = np.array([int(name) for name in assays])
    out = {}
    for j in np.argsort(-rarer, kind="stable")[:n_assays]:
        before = np.flatnonzero(order < order[j])
        out[f"ChEMBL assay {assays[j]}"] = _after(features, scaffolds, ids, labels, int(j), before)
    return out, len(chosen)


def _after(
    features: Features, scaffolds: tuple[str, ...], ids: tuple[str, ...], labels: FloatArray, at: int, before: Index
) -> Screened:
    earlier = labels[:, before]
    rate = np.nanmean(np.where(np.isfinite(earlier).any(axis=1, keepdims=True), earlier, 0.0), axis=1)
    seen = np.flatnonzero(np.isfinite(earlier).any(axis=1))
    values = np.concatenate([earlier, rate[:, None]], axis=1)[seen].astype(np.float32)
    names = (*(f"assay column {j}" for j in before), "share of earlier assays it was active in")
    profiles = Profiles(tuple(ids[i] for i in seen), values, names, names[-1:])
    return Screened(replace(features, profiles=profiles), scaffolds, {"label": (labels[:, at] + 1) / 2}, profiles)


def _structures_by_key(path: Path, wanted: set[str]) -> dict[str, str]:
    """Give standard structures by the first block of their InChIKey."""
    written = path.read_text(encoding="utf-8").split()[1:]
    found = {}
    for smiles in written:
        key = connectivity(smiles)
        if key in wanted:
            found.setdefault(key, smiles)
    standard = standardise_all(list(found.values()))
    return {key: s.smiles for key, s in zip(found, standard, strict=True) if not isinstance(s, str)}


def write_screen(screened: Screened, assay: str, folder: Path) -> None:
    """Write the compounds an imaging screen saw as nextplate replay reads them: values.csv and profiles.csv.

    Compounds without a label of the assay are left out.
    """
    features, profiles, y = screened.features, screened.profiles, screened.labels[assay]
    seen, has = set(profiles.compound_ids), np.isfinite(y)
    rows = zip(features.compound_ids, features.smiles, y, strict=True)
    chosen = [row for row, is_known in zip(rows, has, strict=True) if is_known and row[0] in seen]
    with (folder / "values.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("compound_id", "smiles", "value"), *chosen])
    with (folder / "profiles.csv").open("w", encoding="utf-8", newline="") as file:
        known = np.flatnonzero(np.isfinite(profiles.of([row[0] for row in chosen])).any(axis=0))
        names = [profiles.names[i] for i in known]
        writer = csv.writer(file)
        writer.writerow(["compound_id", *names])
        for name, values in zip(profiles.compound_ids, profiles.values, strict=True):
            writer.writerow([name, *("" if np.isnan(values[i]) else f"{values[i]:.6g}" for i in known)])
