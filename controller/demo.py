"""The demo: a lab made, filled, run for three nights and reported, each stage skipped where it was done before."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.app import write_vendor_files
from controller.campaign import Ending, Watcher, run_campaign
from controller.files import write_text
from controller.lab import Lab, default_settings, init_lab, locked_store, open_lab
from controller.observed import watched
from controller.registration import register_library, register_stock, register_tips
from nextplate.errors import DataError

if TYPE_CHECKING:
    from controller.store.store import Store

_TIP_RACKS_PER_ROUND = 8


@dataclass(frozen=True, slots=True)
class DemoResult:
    """How the demo ended."""

    ending: Ending
    body: dict[str, Any]
    text: str


def run_demo(
    folder: Path, seed: int, rounds: int, compounds: int, watcher: Watcher, tell: Callable[[str], None]
) -> DemoResult:
    """Run the demo, or go on with it.

    Raises:
        DataError: the folder holds a lab made with other numbers.
    """
    lab = _lab(folder, seed, rounds, compounds)
    with locked_store(lab, "nextplate demo") as store:
        _fill(lab, store, compounds, watcher, tell)
        with watched(lab, store, watcher) as seen:
            ending = run_campaign(lab, store, seen)
    if not ending.state.is_finished:
        from controller.cli.running import ending_body, ending_text

        return DemoResult(ending, ending_body(ending), ending_text(ending))
    return _report(lab, ending)


def _lab(folder: Path, seed: int, rounds: int, compounds: int) -> Lab:
    """Open the demo's lab, made by one rename so that a kill leaves none or all of it."""
    text = _settings_text(seed, rounds)
    marker = json.dumps({"seed": seed, "rounds": rounds, "compounds": compounds}, sort_keys=True)
    if not (folder / "lab.toml").exists():
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        write_text(folder / "logs" / "demo.json", marker)
        return init_lab(folder, text)
    made = folder / "logs" / "demo.json"
    if not made.exists():
        raise DataError(f"{folder} is a lab of your own, not a demo's; name another folder")
    if made.read_text() != marker:
        raise DataError(
            f"{folder} holds a demo made with {made.read_text()}; repeat these numbers, or name another folder"
        )
    return open_lab(folder)


def _settings_text(seed: int, rounds: int) -> str:
    """Set the demo's seed and rounds in the default lab.toml, and let it run through the small mishaps it simulates."""
    changes = {
        "rounds = 3 ": f"rounds = {rounds} ",
        "seed = 1 ": f"seed = {seed} ",
        "[sim]\nseed = 1": f"[sim]\nseed = {seed}",
        'partial_load = "ask"': 'partial_load = "accept"',
        'failed_plate = "ask"': 'failed_plate = "discard"',
    }
    text = default_settings()
    for old, new in changes.items():
        if old not in text:
            raise DataError(f"the default lab.toml no longer holds {old!r}; the demo must be adapted")
        text = text.replace(old, new)
    return text


def _fill(lab: Lab, store: "Store", compounds: int, watcher: Watcher, tell: Callable[[str], None]) -> None:
    def progress(done: int, total: int) -> None:
        if watcher.step:
            watcher.step("library", done, total)

    vendor = _vendor_files(lab, compounds)
    if not store.select("libraries"):
        tell(f"library: reading {vendor / 'library.csv'}")
        added = register_library(lab, store, vendor / "library.csv", progress=progress)
        tell(f"library: {added.n_compounds} compounds, {len(added.issues)} notes")
    if not store.select("stock"):
        stock = register_stock(lab, store, vendor / "stock.csv")
        tell(f"stock: {stock.n_added} source wells")
    if not store.tip_racks_now():
        register_tips(lab, store, _TIP_RACKS_PER_ROUND * lab.settings.campaign.rounds)


def _vendor_files(lab: Lab, compounds: int) -> Path:
    """Let the vendor send his files; they are there whole, or not at all."""
    vendor, parcel = lab.folder / "vendor", lab.folder / "logs" / "vendor.part"
    if not vendor.exists():
        write_vendor_files(parcel, lab.settings, compounds)
        parcel.rename(vendor)
    return vendor


def _report(lab: Lab, ending: Ending) -> DemoResult:
    from controller.cli.running import ending_body, ending_text
    from controller.reporting import write_report
    from controller.summary import campaign_summary, summary_text

    page = write_report(lab, lab.folder / "reports")
    summary = campaign_summary(lab)
    body = {**ending_body(ending), "report": str(page), "summary": summary}
    text = f"{summary_text(summary)}\n{ending_text(ending)}\nreport: {page}"
    return DemoResult(ending, body, text)
