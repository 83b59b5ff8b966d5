"""library, stock and tips: what enters a lab by hand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.common import HERE, JsonOption, LabOption, progress_bar, say

if TYPE_CHECKING:
    from controller.registration import LibraryAdded
    from protocols.stock import PlateCare

_SHOWN = 5
_REPORT_LINES = 12


def register(app: typer.Typer) -> None:
    """Add the commands."""
    library = typer.Typer(no_args_is_help=True, help="The compounds that can be picked.")
    library.command("add")(library_add)
    library.command("show")(library_show)
    app.add_typer(library, name="library")
    stock = typer.Typer(no_args_is_help=True, help="Source wells and what is left in them.")
    stock.command("add")(stock_add)
    stock.command("care")(stock_care)
    stock.command("show")(stock_show)
    app.add_typer(stock, name="stock")
    tips = typer.Typer(no_args_is_help=True, help="Tip racks.")
    tips.command("add")(tips_add)
    app.add_typer(tips, name="tips")
    spares = typer.Typer(no_args_is_help=True, help="Empty plates for dilutions.")
    spares.command("add")(spares_add)
    app.add_typer(spares, name="spares")


def library_add(
    file: Annotated[Path, typer.Argument(help="CSV, TSV or .smi with a structure and an id a row.")],
    lab: LabOption = HERE,
    smiles: Annotated[str | None, typer.Option(help="Column of the structures; found by its name if left out.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the compound ids, likewise.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out unusable rows and list them.")] = False,
    alerts: Annotated[
        bool, typer.Option("--alerts/--no-alerts", help="Find scaffolds and alerts too; without, half the time.")
    ] = True,
    encoding: Annotated[str, typer.Option(help="Encoding of a file that is not UTF-8, e.g. latin-1.")] = "utf-8",
    as_json: JsonOption = False,
) -> None:
    """Register a library: structures standardised, fingerprints and descriptors cached.

    A file of any length will do; killed in between, the same command goes on where it was.

    Example: nextplate library add vendor.csv --smiles SMILES --id catalogue_no --lab mylab
    """
    from controller.lab import locked_store, open_lab
    from controller.registration import register_library
    from nextplate.chem.report import as_lines, library_report

    opened = open_lab(lab)
    with locked_store(opened, "nextplate library add") as store, progress_bar("compounds", as_json) as progress:
        result = register_library(
            opened,
            store,
            file,
            smiles_column=smiles,
            id_column=id_column,
            skip_bad=skip_bad,
            with_alerts=alerts,
            encoding=encoding,
            progress=progress,
        )
    report = library_report(result.features.folder)
    body = {
        "library": result.added.digest,
        "compounds": result.n_compounds,
        "new": result.added.is_new,
        "mended": result.mended,
        "skipped": result.n_skipped,
        "notes": [{"line": i.line, "kind": i.kind, "text": i.text} for i in result.issues],
        "report": asdict(report),
    }
    say(body, "\n".join(_added_lines(file, result, as_lines(report))), as_json)


def _added_lines(file: Path, result: "LibraryAdded", report: Sequence[str]) -> list[str]:
    kinds = Counter(issue.kind for issue in result.issues)
    lines = [f"{result.n_compounds} compounds, library {result.added.digest[:16]}"]
    if not result.added.is_new:
        made = f"its features were made again: {result.mended}" if result.mended else "nothing changed"
        lines[0] += f" (was there already; {made})"
    lines += [f"{n} x {kind}" for kind, n in sorted(kinds.items())]
    lines += [f"  {file.name}:{i.line}: {i.text}" for i in result.issues[:_SHOWN]]
    if len(result.issues) > _SHOWN:
        lines.append(f"  ... {len(result.issues) - _SHOWN} more notes (--json lists all)")
    more = [f"  ... {len(report) - _REPORT_LINES} more lines (library show)"] if len(report) > _REPORT_LINES else []
    return [*lines, *report[:_REPORT_LINES], *more]


def library_show(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Show the libraries of a lab, what standardisation made of them, their alerts, and a few compounds.

    Every file of a library is checked against its digest; a damaged one is named.

    Example: nextplate library show --lab mylab
    """
    from controller.lab import open_lab
    from controller.snapshots import library_folder
    from controller.steps.data import of_library
    from controller.store import open_store
    from nextplate.chem.folder import load_features
    from nextplate.chem.report import as_lines, library_report

    opened = open_lab(lab)
    with open_store(opened.database) as store:
        libraries = store.select("libraries")
        first = {
            r["library"]: store.select("compounds", {"library": r["library"], "row": range_of(5)}) for r in libraries
        }
    folders = {r["library"]: opened.folder / library_folder(r["library"]) for r in libraries}
    for name, folder in folders.items():
        of_library(load_features(folder, recheck=True), name)
    reports = {name: library_report(folder) for name, folder in folders.items()}
    body = {
        "libraries": [{**r, "first": first[r["library"]], "report": asdict(reports[r["library"]])} for r in libraries]
    }
    lines: list[str] = []
    for r in libraries:
        lines.append(f"library {r['library'][:16]}: {r['n_compounds']} compounds")
        lines += [f"  {c['compound_id']}  {c['smiles']}" for c in first[r["library"]]]
        lines += as_lines(reports[r["library"]])
    say(body, "\n".join(lines) or "no library yet; add one with: nextplate library add FILE", as_json)


def range_of(n: int) -> list[int]:
    """List the first n row numbers."""
    return list(range(n))


def stock_add(
    file: Annotated[
        Path, typer.Argument(help="CSV: source_plate, source_well, compound_id, volume_ul, concentration_um.")
    ],
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Register source plates.

    Example: nextplate stock add plates.csv --lab mylab
    """
    from controller.lab import locked_store, open_lab
    from controller.registration import register_stock

    opened = open_lab(lab)
    with locked_store(opened, "nextplate stock add") as store:
        added = register_stock(opened, store, file)
    text = f"{added.n_added} source wells added" + (
        f", {added.n_already} were there already" if added.n_already else ""
    )
    say({"added": added.n_added, "already": added.n_already, "digest": added.digest}, text, as_json)


def stock_care(
    file: Annotated[Path, typer.Argument(help="CSV: plate[, n_thaws, max_thaws, expires, evaporation_nl_per_h].")],
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say how often source plates may be thawed, until when they keep, and what their wells lose to the air.

    Thaws and time in the open are counted from then on; what may not be used any more is not picked from.

    Example: nextplate stock care plates-care.csv --lab mylab
    """
    from controller.lab import locked_store, open_lab
    from controller.registration import register_care

    opened = open_lab(lab)
    with locked_store(opened, "nextplate stock care") as store:
        n = register_care(opened, store, file)
    say({"plates": n}, f"{n} source plates", as_json)


def stock_show(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Show what is left, by source plate, and the tips.

    Example: nextplate stock show --lab mylab
    """
    from controller.lab import open_lab
    from controller.store import open_store

    with open_store(open_lab(lab).database) as store:
        wells, racks, care = store.stock_now(), store.tip_racks_now(), store.plate_care()
    plates: dict[str, dict[str, Any]] = {}
    for well in wells:
        plate = plates.setdefault(well.source_plate, {"wells": 0, "volume_nl": 0, "lowest_nl": well.volume_nl})
        plate["wells"] += 1
        plate["volume_nl"] += well.volume_nl
        plate["lowest_nl"] = min(plate["lowest_nl"], well.volume_nl)
    tips_left = sum(96 - len(rack.used) for rack in racks)
    for name, plate in plates.items():
        plate["care"] = _care_body(care[name]) if name in care else None
    body = {"plates": plates, "tip_racks": len(racks), "tips_left": tips_left}
    lines = [
        f"{name}: {p['wells']} wells, {p['volume_nl'] / 1000:.0f} ul in all, least {p['lowest_nl'] / 1000:.1f} ul"
        + ("" if name not in care else f"; {care[name]}")
        for name, p in plates.items()
    ]
    lines.append(f"tips: {tips_left} left in {len(racks)} racks")
    say(body, "\n".join(lines), as_json)


def _care_body(care: "PlateCare") -> dict[str, Any]:
    expires = None if care.expires is None else care.expires.isoformat()
    return {"n_thaws": care.n_thaws, "max_thaws": care.max_thaws, "expires": expires}


def tips_add(
    racks: Annotated[int, typer.Argument(min=1, max=1000, help="How many full racks were put into the tip store.")],
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Register full tip racks.

    Example: nextplate tips add 12 --lab mylab
    """
    from controller.lab import locked_store, open_lab
    from controller.registration import register_tips

    opened = open_lab(lab)
    with locked_store(opened, "nextplate tips add") as store:
        barcodes = register_tips(opened, store, racks)
    say({"racks": barcodes}, f"{len(barcodes)} racks: {barcodes[0]} to {barcodes[-1]}", as_json)


def spares_add(
    plates: Annotated[int, typer.Argument(min=1, max=1000, help="How many empty plates were put into the hotel.")],
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Register empty plates for dilutions, of the labware that [deck] dilution in lab.toml names.

    Each is used for the plate of one night and goes to the waste.

    Example: nextplate spares add 4 --lab mylab
    """
    from controller.lab import locked_store, open_lab
    from controller.registration import register_spares

    opened = open_lab(lab)
    with locked_store(opened, "nextplate spares add") as store:
        barcodes = register_spares(opened, store, plates)
    homes = f"{barcodes[0]} at hotel/{barcodes[0]}" + (f" to {barcodes[-1]}" if len(barcodes) > 1 else "")
    say({"plates": barcodes}, f"{len(barcodes)} plates: {homes}", as_json)
