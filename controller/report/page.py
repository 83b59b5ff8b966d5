"""Write a report as one HTML file that needs nothing else: styles, figures and structures are inside."""

import base64
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from controller.report import words
from controller.report.drawing import Drawn
from controller.report.figures.calibration import GROUPS
from controller.report.figures.fields import BAR_UM, caption
from controller.report.hits import N_CHAINS
from controller.report.model import Campaign, Estimate, PlateView, WellView
from controller.report.rows import round_rows
from nextplate.plate import Role, parse_well

_TEMPLATE = "templates/report.html.j2"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The page may load nothing and run no script, whatever a compound's name says."""
_QC_NAMES = {
    "signal_to_background": "signal to background",
    "cv_negative": "CV of the negatives",
    "edge_effect_z": "edge effect, z",
    "noise_negative": "sd of the negatives, activity",
    "noise_replicates": "sd within replicates, activity",
    "expected_false_hits": "false hits expected of noise",
}


def render_page(campaign: Campaign, drawn: Drawn) -> str:
    """Write the page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "number": words.number,
        "percent": words.percent,
        "estimate": _estimate,
        "share": _share,
        "when": lambda time: f"{time:%Y-%m-%d %H:%M}",
    }
    text = resources.files("controller").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    template = environment.from_string(text)
    confidence = campaign.settings["belief"]["confidence"]
    return template.render(
        c=campaign,
        curve=campaign.curve,
        last=campaign.curve.points[-1] if campaign.curve.points else None,
        headline=words.headline(campaign),
        confidence=confidence,
        coverage=words.pooled_coverage(campaign.rounds, confidence),
        rows=round_rows(campaign.rounds, confidence),
        plates=[_plate(p, drawn) for p in campaign.plates],
        top=campaign.hits[:N_CHAINS],
        structures={name: svg and Markup(svg) for name, svg in drawn.structures.items()},  # noqa: S704 - rebuilt from a list of allowed elements
        groups=GROUPS,
        image=lambda name: _png(drawn.pngs.get(name)),
        lab_time=words.lab_time(campaign),
        computing=sum(s for r in campaign.rounds for s in r.seconds.values()),
        settings=list(_flat(campaign.settings)),
        policy=_POLICY,
        words=words,
    )


def _png(image: bytes | None) -> str | None:
    return None if image is None else f"data:image/png;base64,{base64.b64encode(image).decode()}"


def _estimate(estimate: Estimate, digits: int = 2, scale: float = 1.0, unit: str = "") -> Markup:
    """Write an estimate with its ends in small print, or why there is none."""
    if estimate.value is None:
        return Markup('<span class="unknown" title="{}">not determined</span>').format(estimate.why)
    ends = words.span(estimate, digits, scale)
    shown = f"{scale * estimate.value:,.{digits}f}{unit}"
    return Markup('{} <span class="ends" title="{}">{}</span>').format(shown, estimate.kind, ends and f"[{ends}]")


def _share(estimate: Estimate, digits: int = 1) -> Markup:
    return _estimate(estimate, digits, 100, " %")


def _plate(plate: PlateView, drawn: Drawn) -> dict[str, Any]:
    """Gather what the page shows of a plate."""
    return {
        "view": plate,
        "figures": [
            (kind, text, _png(drawn.pngs.get(f"{plate.barcode}-{kind}.png")))
            for kind, text in (
                ("layout", "Layout: role and reason of every well."),
                ("response", "Response: 0 negative, 1 positive control; hits ringed."),
                ("flags", "Viability: 1 as many nuclei as the negatives; flags marked."),
            )
        ],
        "controls": _png(drawn.pngs.get(f"{plate.barcode}-controls.png")),
        "numbers": _numbers(plate),
        "tiles": [
            {
                "tile": tile,
                "image": f"data:image/jpeg;base64,{base64.b64encode(tile.jpeg).decode()}",
                "text": caption(tile.shot),
            }
            for tile in drawn.tiles.get(plate.barcode, ())
        ],
        "bar_um": BAR_UM,
        "absent": drawn.absent.get(plate.barcode, ()),
        "flagged": _flagged(plate.wells),
        "n_controls": {role.value: sum(w.role == role for w in plate.wells) for role in (Role.NEGATIVE, Role.POSITIVE)},
    }


def _numbers(plate: PlateView) -> list[tuple[str, str | None]]:
    others = plate.quality.others if plate.quality else {}
    found = [(text, others[name]) for name, text in _QC_NAMES.items() if name in others]
    return [(text, None if value is None else _short(value)) for text, value in found]


def _short(value: float) -> str:
    """Write two digits; what is smaller than a hundredth is no more than that."""
    return "< 0.01" if 0 < value < 0.01 else f"{value:.2g}"


def _flagged(wells: Iterable[WellView]) -> list[tuple[str, str, list[str]]]:
    """Group flagged wells by reason code: (code, what it means, wells)."""
    meanings = flag_meanings()
    found: dict[str, list[str]] = {}
    for well in sorted((w for w in wells if w.flags), key=lambda w: parse_well(w.well)):
        for code in well.flags:
            found.setdefault(code, []).append(well.well)
    return [(code, meanings.get(code, ""), names) for code, names in sorted(found.items())]


def flag_meanings() -> Mapping[str, str]:
    """Return every reason code that rooms write, with its sentence."""
    from nextplate import assay, imaging

    handler = {"not-dosed": "The liquid handler reported less than planned; the dose is not what the layout says."}
    return {**imaging.FLAGS, **assay.FLAGS, **handler}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Write nested settings as dotted names and values."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and all(isinstance(v, Mapping) for v in value):
            for n, item in enumerate(value):
                yield from _flat(item, f"{prefix}{name}.{n + 1}.")
        else:
            yield f"{prefix}{name}", str(value)
