"""What a campaign needs before it may start: said at once and by name, not after a plate has been made."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from controller.settings import BeliefSection, Settings, deck_of
from controller.settings.whole import giving_of
from controller.state import fold
from nextplate.errors import DataError, NextplateError, PlanError
from nextplate.models.kinds import CELL_COUNT
from protocols.acoustic import in_window
from protocols.forecast import Need, dry
from protocols.giving import Giving
from protocols.labware import LABWARE
from protocols.offsets import read_offsets
from protocols.stock import StockWell, unusable_plates

if TYPE_CHECKING:
    from controller.store.store import Store

_SHOWN = 3
SOUND_PLATES = tuple(name for name, kind in LABWARE.items() if kind.acoustic_max_nl)
"""Load names of plates that an acoustic dispenser draws from."""
NONE: Mapping[str, str] = MappingProxyType({})


def not_ready(
    campaigns: Sequence[Settings], store: "Store", library: str | None, lab: Path, today: Callable[[], date]
) -> dict[str, NextplateError]:
    """Say of each campaign that lacks something to start with what it lacks, by name; see check_ready."""
    care = store.plate_care()
    unusable = unusable_plates(care, today()) if care else NONE
    found: dict[str, NextplateError] = {}
    for settings in campaigns:
        try:
            check_ready(settings, store, library, lab, unusable)
        except (PlanError, DataError) as error:
            found[settings.campaign.name] = error
    return found


def check_ready(
    settings: Settings, store: "Store", library: str | None, lab: Path = Path(), unusable: Mapping[str, str] = NONE
) -> None:
    """Check library, stock, controls, doses, tips, and the image profiles where the belief learns from them.

    Args:
        settings: of the lab.
        store: its database.
        library: digest; None: there is none.
        lab: its folder.
        unusable: source plates that may not leave the cold any more, and why.

    Raises:
        DataError: the image profiles or the labware offsets cannot be used.
        PlanError: what is missing, and the command or key that mends it.
    """
    if library is None:
        raise PlanError("this lab has no library; add one with: nextplate library add FILE")
    wells = [StockWell(*well) for well in store.stock_now() if well.source_plate not in unusable]
    kept = "".join(f" ({plate} is left out: {why})" for plate, why in unusable.items())
    if not wells:
        raise PlanError(f"this lab has no stock that may be used; add it with: nextplate stock add FILE{kept}")
    if not store.tip_racks_now() and giving_of(settings).by_sound is None:
        raise PlanError("this lab has no tips; register full racks with: nextplate tips add N")
    if settings.deck.dilution and not fold(store.events()).spares:
        raise PlanError(
            f"lab.toml has small doses diluted ([deck] dilution) and there is no plate for it: put empty "
            f"{settings.deck.dilution} into the hotel and register them with: nextplate spares add N"
        )
    known = {row["compound_id"] for row in store.select("compounds")}
    if problems := list(_problems(settings, wells, known)):
        raise PlanError("; ".join(problems) + kept)
    if settings.deck.offsets:
        read_offsets(lab / settings.deck.offsets, deck_of(settings).robot)
    if settings.belief.profiles is not None:
        _check_profiles(lab / settings.belief.profiles, settings.belief, known)


def _check_profiles(path: Path, belief: BeliefSection, known: Collection[str]) -> None:
    # Loaded only where it is needed: most labs have no profiles.
    from nextplate.models.profile_file import read_profiles, told_overlap

    profiles = read_profiles(path, count_column=belief.cell_count).profiles
    told_overlap(path, profiles, sorted(known), "the library")
    if belief.kind == CELL_COUNT and not profiles.count_names:
        raise DataError(
            f"{path}: no column is called like a cell count, and kind = {CELL_COUNT!r} sees nothing else; name the "
            "column: cell_count in [belief]"
        )


def _problems(settings: Settings, wells: Sequence[StockWell], known: Collection[str]) -> Iterator[str]:
    assay = settings.assay
    controls = {assay.negative_control: "negative", assay.positive_control: "positive"}
    stocked = {well.compound_id for well in wells}
    for name, role in controls.items():
        if name not in stocked:
            yield f"the stock holds no {name!r}, which lab.toml names as assay.{role}_control"
    strangers = [w for w in wells if w.compound_id not in known and w.compound_id not in controls]
    if strangers:
        first = ", ".join(f"{w.compound_id!r} in {w.source_plate} {w.source_well}" for w in strangers[:_SHOWN])
        yield f"{len(strangers)} stock wells hold what is neither in the library nor a control in lab.toml: {first}"
    samples = [w for w in wells if w.compound_id in known]
    yield from _sound_problems(settings, wells)
    yield from _dose_problem(settings, samples)
    yield from _series_problem(settings, samples)
    yield from _dry_problems(settings, wells)


def _sound_problems(settings: Settings, wells: Sequence[StockWell]) -> Iterator[str]:
    """Tell where an acoustic dispenser is to draw from plates or wells that it cannot draw from."""
    tool, controls = giving_of(settings).by_sound, (settings.assay.negative_control, settings.assay.positive_control)
    if tool is None:
        return
    for name in controls:
        mine = [w for w in wells if w.compound_id == name]
        if mine and not any(map(in_window, mine)):
            first = mine[0]
            yield (
                f"{tool.load_name} cannot draw {name} from {first.source_plate} {first.source_well}: it takes plates "
                f"that sound goes through, filled to their window, and this is a {first.labware} with "
                f"{first.volume_nl} nl; put it into one of {', '.join(SOUND_PLATES)}"
            )


def _dose_problem(settings: Settings, samples: Sequence[StockWell]) -> Iterator[str]:
    assay, how = settings.assay, giving_of(settings)
    if any(how.n_doses(well, assay.dose_um) for well in samples):
        return
    strengths = sorted({well.concentration_um for well in samples})[:_SHOWN]
    if how.is_by_volume:
        yield _no_volume(how, assay.dose_um, strengths)
        return
    share = assay.transfer_ul / (assay.transfer_ul + assay.well_volume_ul)
    made = ", ".join(f"{c:g} uM stock gives {c * share:g} uM" for c in strengths) or "no compound is in stock"
    yield (
        f"no stock well gives the dose of {assay.dose_um:g} uM (assay.dose_um) when {assay.transfer_ul:g} ul go into "
        f"{assay.well_volume_ul:g} ul: {made}; change dose_um, transfer_ul or well_volume_ul, or dilute the stock"
    )


def _no_volume(how: Giving, dose_um: float, strengths: Sequence[float]) -> str:
    whole_nl = how.well_nl + how.total_nl
    made = ", ".join(f"{dose_um * whole_nl / um:.0f} nl of {um:g} uM stock" for um in strengths if um > 0)
    return (
        f"no stock well gives the dose of {dose_um:g} uM (assay.dose_um) in a well of {whole_nl} nl, of which "
        f"{how.total_nl} are solvent (assay.final_dmso_percent): it takes {made or 'a compound in stock'}, and neither "
        f"that nor what fills up may be under the pipette's minimum; change dose_um or final_dmso_percent, or dilute "
        "the stock"
    )


def _series_problem(settings: Settings, samples: Sequence[StockWell]) -> Iterator[str]:
    """Tell where wells are kept for dose-response series and no compound can get one."""
    assay, budget = settings.assay, settings.picking.budget
    if budget is None or not budget.dose_response:
        return
    how = giving_of(settings)
    wells: dict[str, list[StockWell]] = {}
    for well in samples:
        wells.setdefault(well.compound_id, []).append(well)
    if not any(how.gives_all(mine, assay.dose_series_um) for mine in wells.values()):
        doses = assay.dose_series_um
        without = [f"{d:g}" for d in doses if not any(how.n_doses(w, d) for w in samples)]
        what = f"none gives {', '.join(without)} uM" if without else "no compound has a well for each"
        yield (
            f"picking.budget keeps wells for dose-response series, and no compound has stock wells that give every "
            f"dose of assay.dose_series_um ({what}); add a dilution series to the stock, or leave dose_response out"
        )


def _dry_problems(settings: Settings, wells: Sequence[StockWell]) -> Iterator[str]:
    """Tell which control liquid would run dry on the first plate, and the well to fill."""
    assay, plate, how = settings.assay, settings.plate, giving_of(settings)
    needs = [
        Need(assay.negative_control, plate.n_negative, how.total_nl),
        Need(assay.positive_control, plate.n_positive, how.transfer_nl),
    ]
    yield from (f"the first plate would run dry: {refill}" for refill in dry(needs, wells))
