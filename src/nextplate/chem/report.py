"""What standardisation made of a library, and what its compounds are flagged for: counted, with examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from nextplate.errors import DataError

_STEREO = r"[@/\\]"


@dataclass(frozen=True, slots=True)
class Counted:
    """How many compounds something applies to, and which are the first."""

    name: str
    n: int
    examples: tuple[str, ...]
    """Compound ids, at most three."""


@dataclass(frozen=True, slots=True)
class LibraryReport:
    """What a person should know of a library before its compounds are picked."""

    n: int
    n_unchanged: int
    """Standardisation changed at most the way the structure is written."""
    changes: tuple[Counted, ...]
    """Steps of standardisation that changed something, the most frequent first; each fragment removed by itself."""
    n_with_stereo: int
    """With stereochemistry in standard form."""
    stereo_lost: Counted
    """Written with stereochemistry and standardised without: it was no true centre or bond, or a removed part's."""
    n_scaffolds: int | None
    """Distinct Murcko scaffolds, acyclic compounds left out; None: not computed."""
    alerts: tuple[Counted, ...] | None
    """Filters that flag compounds, the most frequent first; None: not computed. No compound is dropped for one."""
    n_flagged: int | None
    """Compounds with any alert; None: not computed."""


def library_report(folder: Path) -> LibraryReport:
    """Read a feature folder and count.

    Raises:
        DataError: it has no readable compounds.parquet.
    """
    path = folder / "compounds.parquet"
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read ({error}); add the library again") from error
    alerts, scaffolds = table["alerts"], table["scaffold"]
    has_stereo = table["smiles"].str.contains(_STEREO)
    lost = table.filter(table["raw_smiles"].str.contains(_STEREO) & ~has_stereo)["compound_id"]
    is_computed = alerts.null_count() == 0
    return LibraryReport(
        n=len(table),
        n_unchanged=int((table["change"] == "").sum()),
        changes=_counted(table, "change", _steps),
        n_with_stereo=int(has_stereo.sum()),
        stereo_lost=Counted("stereochemistry lost", len(lost), tuple(lost[:3])),
        n_scaffolds=int(scaffolds.filter(scaffolds != "").n_unique()) if is_computed else None,
        alerts=_counted(table, "alerts", _names) if is_computed else None,
        n_flagged=int((alerts != "").sum()) if is_computed else None,
    )


def _steps(change: str) -> list[str]:
    """Take 'removed Cl, O; neutralised' apart into 'removed Cl', 'removed O', 'neutralised'."""
    steps: list[str] = []
    for step in filter(None, change.split("; ")):
        removed = step.removeprefix("removed ")
        steps.extend([step] if removed == step else [f"removed {part}" for part in removed.split(", ")])
    return steps


def _names(alerts: str) -> list[str]:
    return [name for name in alerts.split(";") if name]


def _counted(table: pl.DataFrame, column: str, names: Callable[[str], Sequence[str]]) -> tuple[Counted, ...]:
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    told = table.filter(pl.col(column) != "").select("compound_id", column)
    for compound_id, text in told.iter_rows():
        for name in dict.fromkeys(names(text)):
            n, examples = found.get(name, (0, ()))
            found[name] = n + 1, examples if n >= 3 else (*examples, compound_id)
    ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    return tuple(Counted(name, n, examples) for name, (n, examples) in ordered)


def as_lines(report: LibraryReport) -> list[str]:
    """Write a report as lines of text."""
    n, unchanged = report.n, report.n_unchanged
    lines = [f"{n} compounds, {unchanged} unchanged by standardisation, {report.n_with_stereo} with stereochemistry"]
    lines += [_line(counted) for counted in report.changes]
    lines += [_line(report.stereo_lost)] if report.stereo_lost.n else []
    if report.alerts is None:
        return [*lines, "scaffolds and alerts: not computed"]
    lines.append(f"{report.n_scaffolds} scaffolds; {report.n_flagged} compounds flagged, none dropped")
    return [*lines, *map(_line, report.alerts)]


def _line(counted: Counted) -> str:
    more = ", ..." if counted.n > len(counted.examples) else ""
    return f"  {counted.name}: {counted.n} ({', '.join(counted.examples)}{more})"
