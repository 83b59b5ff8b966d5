"""What a compound vendor sends: a library file and a list of what stands in which source well."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from nextplate.errors import DataError
from nextplate.plate import PLATE_384
from sim.seeds import generator

LIBRARY_HEADER = ("compound_id", "smiles")
STOCK_HEADER = ("source_plate", "source_well", "compound_id", "volume_ul", "concentration_um", "labware")
SOURCE_LABWARE = "corning_384_wellplate_112ul_flat"
RESERVOIR_LABWARE = "nest_12_reservoir_15ml"
CONTROL_PLATE = "CTRL-001"


def wehi_molecules() -> list[tuple[str, str]]:
    """Return (compound_id, smiles) of the 10,000 WEHI screening compounds that rdkit carries as test data.

    Raises:
        DataError: this rdkit was packed without them.
    """
    from rdkit import RDConfig

    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    if not path.is_file():
        raise DataError(f"{path} is missing; install rdkit from PyPI, its wheel holds the WEHI library")
    with path.open(newline="", encoding="utf-8") as file:
        return [(row[1], row[0]) for row in csv.reader(file) if len(row) == 2]


def write_wehi_library(
    folder: Path,
    seed: int,
    n: int = 10_000,
    *,
    volume_ul: float = 60.0,
    concentration_um: float = 100.0,
    negative_control: str = "DMSO",
    positive_control: str = "REF-1",
    control_volume_ul: float = 10_000.0,
) -> tuple[Path, Path]:
    """Write library.csv and stock.csv as a vendor would and return their paths; same arguments, same bytes.

    Compounds are put onto 384-well plates SRC-001, SRC-002 .. row by row, in an order shuffled by the seed. The
    reservoir CTRL-001 holds the vehicle in A01 to A06 and the positive control in A07 to A12.

    Raises:
        DataError: more compounds asked for than the library has.
    """
    molecules = wehi_molecules()
    if not 0 < n <= len(molecules):
        raise DataError(f"the WEHI library has {len(molecules)} compounds, {n} were asked for")
    order = generator(seed, "vendor").permutation(len(molecules))[:n]
    chosen = [molecules[i] for i in order]
    library, stock = folder / "library.csv", folder / "stock.csv"
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(library, LIBRARY_HEADER, sorted(chosen))
    samples = (
        (p, w, name, _number(volume_ul), _number(concentration_um), SOURCE_LABWARE) for p, w, name in _placed(chosen)
    )
    controls = _controls(negative_control, positive_control, control_volume_ul, concentration_um)
    _write_csv(stock, STOCK_HEADER, [*samples, *controls])
    return library, stock


def _placed(chosen: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    wells = list(PLATE_384.wells())
    for i, (compound_id, _) in enumerate(chosen):
        yield f"SRC-{i // len(wells) + 1:03d}", wells[i % len(wells)], compound_id


def _controls(negative: str, positive: str, volume_ul: float, concentration_um: float) -> Iterator[tuple[str, ...]]:
    for column in range(1, 13):
        name, concentration = (negative, 0.0) if column <= 6 else (positive, concentration_um)
        yield CONTROL_PLATE, f"A{column:02d}", name, _number(volume_ul), _number(concentration), RESERVOIR_LABWARE


def _number(value: float) -> str:
    return f"{value:g}"


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
