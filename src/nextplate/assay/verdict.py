"""Judge a plate: does it pass, how good is it, how many hits may be false."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl

from nextplate.assay import statistics
from nextplate.assay.bootstrap import control_intervals
from nextplate.assay.control import ControlScale, Occupied
from nextplate.assay.endpoint import Method, Scale
from nextplate.assay.params import AssayParams
from nextplate.assay.quality import PlateQc
from nextplate.assay.spatial import SpatialEffect
from nextplate.plate import Role


def plate_failures(plate: Occupied, scale: ControlScale, params: AssayParams) -> tuple[str, ...]:
    """Say why the plate fails; empty when it passes."""
    reasons = list(scale.failures)
    z = statistics.z_prime_robust(scale.positive, scale.negative)
    if not reasons and z is not None and z < params.min_z_prime:
        reasons.append(f"robust Z' is {z:.2f}, at least {params.min_z_prime:g} is needed")
    bad = 1 - float(plate.is_good.mean()) if len(plate.wells) else 1.0
    if bad > params.max_flagged_share:
        reasons.append(
            f"{bad:.0%} of the wells cannot be used, at most {params.max_flagged_share:.0%} may be"
            if plate.wells
            else "the layout holds no well"
        )
    return tuple(reasons)


def plate_quality(
    plate: Occupied,
    rows: pl.DataFrame,
    scale: ControlScale,
    effect: SpatialEffect,
    correction: str,
    failures: Sequence[str],
    params: AssayParams,
) -> PlateQc:
    """Gather the plate's numbers; `rows` are its responses, `failures` what `plate_failures` said."""
    positive, negative, unit = scale.positive, scale.negative, scale.unit
    noise = scale.negative_sd / abs(unit) if scale.negative_sd is not None and unit else None
    is_share = plate.endpoint.method is Method.CONTROLS
    false_rate = _false_hit_rate(noise, params, is_share)
    high, low = plate.endpoint.linear(positive), plate.endpoint.linear(negative)
    counts = Counter(code for flags in rows["flags"] for code in str(flags).split(";") if code)
    is_negative = (pl.col("role") == str(Role.NEGATIVE)) & pl.col("is_used")
    is_strong = (pl.col("activity") >= params.hit_threshold) if is_share else pl.lit(True)
    called = rows.filter(is_negative & is_strong & (pl.col("activity_z") >= params.hit_z))
    n_used = len(rows.filter((pl.col("role") == str(Role.SAMPLE)) & pl.col("is_used")))
    numbers: dict[str, float | None] = {
        "z_prime": statistics.z_prime(positive, negative),
        "z_prime_robust": statistics.z_prime_robust(positive, negative),
        "ssmd": statistics.ssmd(positive, negative),
        "signal_to_background": statistics.signal_to_background(high, low),
        "cv_negative": statistics.variation(low),
        "edge_effect_z": effect.edge_z,
        "row_effect": effect.row_effect,
        "column_effect": effect.column_effect,
        "noise_negative": noise,
        "noise_replicates": _replicate_noise(rows),
        "false_hit_rate": false_rate,
    }
    return PlateQc(
        plate=plate.layout.barcode,
        n_wells=len(rows),
        n_flagged=int((rows["flags"] != "").sum()),
        flags=dict(sorted(counts.items())),
        intervals=control_intervals(positive, negative),
        n_negative=len(negative),
        n_positive=len(positive),
        negative_median=scale.negative_median,
        positive_median=scale.positive_median,
        negative_sd=scale.negative_sd,
        cells_negative=scale.cells,
        edge_shift=effect.edge_shift,
        correction=correction,
        expected_false_hits=None if false_rate is None else false_rate * n_used,
        n_false_hits=len(called),
        n_hits=int(rows["is_hit"].sum()),
        n_toxic=int(rows["is_toxic"].sum()),
        passed=not failures,
        reasons=(*failures, *_why_missing(numbers, scale, effect)),
        **numbers,
    )


def _false_hit_rate(noise: float | None, params: AssayParams, is_share: bool) -> float | None:
    if not noise:
        return None
    return statistics.normal_tail(max(params.hit_threshold / noise, params.hit_z) if is_share else params.hit_z)


def _replicate_noise(rows: pl.DataFrame) -> float | None:
    samples = rows.filter((pl.col("role") == str(Role.SAMPLE)) & pl.col("is_used"))
    groups = samples.group_by("compound_id", "dose_um", maintain_order=True).agg("activity")["activity"]
    return statistics.pooled_sd([np.asarray(g, dtype=np.float64) for g in groups.to_list()])


def _why_missing(numbers: dict[str, float | None], scale: ControlScale, effect: SpatialEffect) -> list[str]:
    """Say in words why numbers are None."""
    why = {
        "edge_effect_z": f"{effect.n_edge} edge and {effect.n_inner} inner inactive wells with spread, "
        "8 and 16 are needed",
        "row_effect": "too few inactive wells, or all alike",
        "column_effect": "too few inactive wells, or all alike",
        "noise_replicates": "no compound has two used wells on this plate",
        "noise_negative": "no activity scale" if scale.unit is None else "negatives without spread",
        "false_hit_rate": "no activity scale" if scale.unit is None else "negatives without spread",
    }
    controls = f"{len(scale.negative)} good negative and {len(scale.positive)} good positive wells"
    if scale.endpoint.scale is not Scale.LOG2 and len(scale.endpoint.linear(scale.negative)) == 0 < len(scale.negative):
        why["signal_to_background"] = why["cv_negative"] = f"{scale.endpoint.column} has no zero to take ratios to"
    return [f"{name} is not known: {why.get(name, controls)}" for name, value in numbers.items() if value is None]
