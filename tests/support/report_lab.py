"""A small finished campaign on disk, written by hand as the steps would leave it: journal, step folders, images."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tifffile

from controller.lab import Lab, init_lab
from controller.recipe import chain, plan_of
from controller.state import fold
from controller.step import HOMES
from controller.steps.evaluate import tell
from controller.steps.foresight import SCHEMA
from controller.store import NewEvent, open_store
from nextplate.plate import PLATE_384
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer

START = datetime(2026, 1, 5, 17, tzinfo=UTC)
EVIL = """<script>alert("x")</script>'&"""
"""A compound id as an attacker would choose it; it is the best hit."""
LIBRARY = "ab" * 32
_SMILES = ("CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "c1ccc2c(c1)cccc2O", "CCN(CC)CCNC(=O)c1ccc(N)cc1")


@dataclass
class ReportLab:
    """Writes the campaign; each method is one kind of thing that a campaign leaves behind."""

    folder: Path
    rounds: int = 2
    stop_before: str = ""
    """Task of the last round that did not happen; empty: everything did."""
    failed_plate: str = ""
    """Answer to the second plate's failed quality control; empty: it passes."""
    with_images: bool = True
    lab: Lab = field(init=False)
    events: list[NewEvent] = field(default_factory=list)
    time: datetime = START
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def build(self) -> Lab:
        """Write it all and return the lab."""
        self.lab = init_lab(self.folder)
        self._library()
        self._say("library.added", None, library=LIBRARY)
        settings = self.lab.settings.journal_body()
        self._say("campaign.started", name="first", seed=1, rounds=self.rounds, library=LIBRARY, settings=settings)
        for r in range(self.rounds + 1):
            if not self._round(r):
                break
        else:
            self._say("campaign.finished", name="first", rounds=self.rounds)
        with open_store(self.lab.database) as store:
            store.append(self.events)
        return self.lab

    def _say(self, kind: str, campaign: str | None = "first", **payload: Any) -> None:
        self.time += timedelta(minutes=5)
        self.events.append(NewEvent(kind, self.time, campaign, json.loads(json.dumps(payload))))

    def _library(self) -> None:
        ids = [EVIL, *(f"C{n:04d}" for n in range(1, 1200))]
        smiles = [_SMILES[n % len(_SMILES)] for n in range(len(ids))]
        folder = self.folder / "library" / LIBRARY[:16]
        folder.mkdir(parents=True)
        pl.DataFrame({"compound_id": ids, "smiles": smiles}).write_parquet(folder / "compounds.parquet")
        self.ids = ids

    def _round(self, r: int) -> bool:
        done: set[str] = set()
        while True:
            state = fold(_numbered(self.events))
            tasks = [t for t in chain(state, plan_of(state), r) if t not in done]
            if not tasks:
                return True
            if tasks[0] == self.stop_before and r == self.rounds - 1:
                return False
            done.add(tasks[0])
            self._task(tasks[0], r)

    def _task(self, task: str, r: int) -> None:
        kind = task.partition("-")[0]
        if kind == "approve":
            self._say("decision", what="approve", round=r, by="policy", reason="4 compounds, at most 400 allowed")
            return
        key = f"first.r{r}.{task}"
        barcode = {"barcode": f"NP-{r + 1:04d}"}
        action = {"device": "imager", "command": {"verb": "acquire", **barcode}}
        if kind in {*HOMES, "admit"}:
            action = {"step": kind, "inputs": {}, "params": barcode}
        self._say("intent", key=key, task=task, round=r, action=action)
        if task == "acquire" and r == 0:
            self._say("attempt", key=key, message="the imager did not answer")
        result = getattr(self, f"_{kind}", _nothing)(r)
        self._say("outcome", key=key, status="done", result=result, message="")
        if task == "normalise" and r == 1 and self.failed_plate:
            question = "the plate fails its quality control: Z' 0.10 below 0.30"
            self._say("fault", fault=key, key=key, question=question, choices=["use", "discard", "abort"])
            self._say("decision", what="answer", fault=key, choice=self.failed_plate, by="ann")

    def _step(
        self,
        step: str,
        r: int,
        summary: Mapping[str, Any],
        frames: Mapping[str, pl.DataFrame],
        jsons: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        key = hashlib.sha256(f"{step}{r}{inputs or ''}".encode()).hexdigest()
        folder = self.folder / HOMES[step] / f"{step}-{key[:16]}"
        folder.mkdir(parents=True)
        for name, frame in frames.items():
            (frame.write_csv if name.endswith(".csv") else frame.write_parquet)(folder / name)
        for name, body in (jsons or {}).items():
            (folder / name).write_text(json.dumps(body))
        record = {"step": step, "key": key, "inputs": dict(inputs or {}), "params": {}, "code": "c" * 64}
        record |= {"outputs": {}, "summary": dict(summary), "seconds": "1.250"}
        (folder / "record.json").write_text(json.dumps(record))
        return {"folder": folder.relative_to(self.folder).as_posix(), "key": key, "outputs": {}, "summary": summary}

    def _fit(self, r: int) -> dict[str, Any]:
        activity = self.rng.normal(0, 0.1, 300)
        names = {"compound_id": self.ids[:300], "label": activity, "n_wells": [1] * 300}
        oof = pl.DataFrame({**names, "mean": activity + self.rng.normal(0, 0.08, 300), "spread": [0.1] * 300})
        return self._step("fit", r, {"n_compounds": 300, "n_hits": 4, "rmse": 0.08, "notes": ["few hits"]},
                          {"oof.parquet": oof})  # fmt: skip

    def _calibrate(self, r: int) -> dict[str, Any]:
        rows = [{"nominal": c, "n": 300, "empirical": c - 0.01} for c in (0.5, 0.8, 0.9, 0.95)]
        hits = {
            "fdr": 0.2,
            "n": 2,
            "expected_hits": 1.6,
            "n_candidates": 512,
            "notes": [],
            "compounds": ["C1001", EVIL],
        }
        summary = {"n_calibrating": 300, "notes": ["probabilities of a hit: Venn-Abers on 300 compounds, 4 hits"]}
        return self._step("calibrate", r, summary, {}, {"coverage.json": rows, "hits.json": hits})

    def _picked(self, r: int) -> list[tuple[str, str, int]]:
        """(compound, reason, wells), in rank order."""
        if r == 0:
            return [(i, "cold-start", 2 if n < 16 else 1) for n, i in enumerate(self.ids[1:337])]
        explored = [(i, "explore", 1) for i in self.ids[800:834]]
        return [
            ("C0007", "confirm", 1),
            (EVIL, "exploit", 1),
            *((i, "exploit", 1) for i in self.ids[400:716]),
            *explored,
        ]

    def _pick(self, r: int) -> dict[str, Any]:
        picked = self._picked(r)
        nan = float("nan")
        unknown = dict.fromkeys(("score", "mean", "spread", "lower", "upper", "p_hit", "nearest_tested"), nan)
        known = {"score": 0.9, "mean": 0.5, "spread": 0.2, "lower": 0.1, "upper": 0.9, "p_hit": 0.5}
        known["nearest_tested"] = 0.62
        rows = [
            {"compound_id": i, "reason": reason, **(known if reason.startswith("exp") else unknown), "n_wells": n}
            | {"why": f"{i}: {reason}, <b>because</b>"}
            for i, reason, n in picked
        ]
        reasons = {reason: sum(p[1] == reason for p in picked) for _, reason, _ in picked}
        summary = {"n_compounds": len(picked), "compounds": [p[0] for p in picked], "reasons": reasons}
        return self._step("pick", r, summary, {"picks.parquet": pl.DataFrame(rows)})

    def _wells(self, r: int) -> list[dict[str, Any]]:
        samples = [(i, reason, k) for i, reason, n in self._picked(r) for k in range(n)]
        people = [("negative", None, "control", 0)] * 20 + [("positive", None, "control", 0)] * 12
        people += [("sample", i, reason, k) for i, reason, k in samples]
        people += [("empty", None, "", 0)] * (384 - len(people))
        order = np.random.default_rng(r).permutation(384)
        wells = list(PLATE_384.wells())
        placed = sorted(zip([wells[n] for n in order], people, strict=True))
        return [
            {"barcode": f"NP-{r + 1:04d}", "well": w, "role": p[0], "compound_id": p[1], "replicate": p[3],
             "dose_um": 10.0 if p[1] else 0.0, "reason": p[2]}
            for w, p in placed
        ]  # fmt: skip

    def _layout(self, r: int) -> dict[str, Any]:
        return self._step("layout", r, {"barcode": f"NP-{r + 1:04d}", "notes": []},
                          {"layout.csv": pl.DataFrame(self._wells(r))})  # fmt: skip

    def _protocol(self, r: int) -> Protocol:
        wells = [w for w in self._wells(r) if w["role"] != "empty"]
        transfers = tuple(
            Transfer(
                n + 1, "SRC-1", "A01", w["barcode"], w["well"], 5000, "TIPS-0001", "A01", w["compound_id"] or "DMSO"
            )
            for n, w in enumerate(wells)
        )
        deck = (DeckItem("C3", f"NP-{r + 1:04d}", "corning_384_wellplate_112ul_flat", DeckRole.DESTINATION),)
        return Protocol(f"plate {r + 1}", "flex", "flex_1channel_50", "left", (DeckLoad(0, deck, transfers),))

    def _compile(self, r: int) -> dict[str, Any]:
        protocol = self._protocol(r)
        deck = [["C3", f"NP-{r + 1:04d}", "destination"]]
        summary = {"digest": protocol.digest, "n_transfers": len(protocol.transfers),
                   "loads": [{"file": "load-0.flex.py", "deck": deck}]}  # fmt: skip
        return self._step("compile", r, summary, {}, {"protocol.json": json.loads(protocol.to_json())})

    def _check(self, r: int) -> dict[str, Any]:
        n = len(self._protocol(r).transfers)
        return self._step("check", r, {"n_proven": n, "n_transfers": n}, {})

    def _run(self, r: int) -> dict[str, Any]:
        transfers = self._protocol(r).transfers
        moved = [[t.transfer_id, 0 if t.transfer_id == 3 else t.volume_nl] for t in transfers]
        return {"transfers": moved, "short": [[transfers[2].destination_well, 0, 5000]]}

    def _acquire(self, r: int) -> dict[str, Any]:
        folder = f"readouts/NP-{r + 1:04d}"
        if self.with_images:
            shown = self._responses(r).filter(pl.col("is_hit") | pl.col("is_toxic") | (pl.col("flags") != ""))["well"]
            controls = [w["well"] for w in self._wells(r) if w["role"] in ("negative", "positive")]
            for well in (*controls, *shown):
                self._images(self.folder / folder / "TimePoint_1", f"NP-{r + 1:04d}_{well}_s1")
        return {"folder": folder, "images": 768}

    def _images(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for wave, level in ((1, 900), (2, 500)):
            spots = self.rng.random((160, 160)) > 0.97
            image = (self.rng.normal(200, 10, (160, 160)) + level * spots).astype(np.uint16)
            tifffile.imwrite(folder / f"{name}_w{wave}.TIF", image, resolution=(10_000 / 0.65, 10_000 / 0.65),
                             resolutionunit=3)  # fmt: skip
        (folder.parent / "plate.HTD").write_text(_HTD)

    def _measure(self, r: int) -> dict[str, Any]:
        wells = self._responses(r).select("plate", "well", "flags").with_columns(n_cells=pl.lit(131))
        problems = [{"well": "A01", "field": 1, "channel": None, "reason": "unreadable: cut short"}]
        summary = {"plate": f"NP-{r + 1:04d}", "reader": "imagexpress", "n_images": 768, "n_wells": 384}
        return self._step("measure", r, summary | {"n_cells": 50000, "n_flagged": 3, "n_problems": 1},
                          {"wells.parquet": wells}, {"problems.json": problems},
                          {"readout": f"readouts/NP-{r + 1:04d}"})  # fmt: skip

    def _responses(self, r: int) -> pl.DataFrame:
        rng = np.random.default_rng(100 + r)
        hits = (
            {"C0007", "C0100", "C0200"} if r == 0 else {EVIL, "C0007", *(f"C{n:04d}" for n in range(400, 420)), "C0810"}
        )
        rows = []
        for n, w in enumerate(self._wells(r)):
            level = 1.0 if w["role"] == "positive" else {EVIL: 2.0, "C0100": 1.5}.get(w["compound_id"], 0.8)
            is_active = w["role"] == "positive" or w["compound_id"] in hits
            flags = "out-of-focus;undosed" if n in (40, 41) else "few-cells" if n == 200 else ""
            activity = level * is_active + rng.normal(0, 0.05)
            is_toxic = w["role"] == "sample" and n % 97 == 5
            is_used = not flags and w["role"] != "empty"
            is_hit = is_used and w["role"] == "sample" and activity >= 0.5 and not is_toxic
            viability = 0.2 if is_toxic else 1 + rng.normal(0, 0.05)
            numbers = {"activity": activity if w["role"] != "empty" else float("nan"), "viability": viability}
            who = {k: w[k] for k in ("well", "role", "compound_id", "replicate", "dose_um")}
            calls = {"is_used": is_used, "is_hit": is_hit, "is_toxic": is_toxic}
            rows.append({"plate": w["barcode"], **who, **numbers, "flags": flags, **calls})
        return pl.DataFrame(rows)

    def _admit(self, r: int) -> dict[str, Any]:
        return self._normalise(r, is_admitted=True)

    def _normalise(self, r: int, is_admitted: bool = False) -> dict[str, Any]:
        frame = self._responses(r)
        fails = r == 1 and bool(self.failed_plate)
        if fails and not is_admitted:
            frame = frame.with_columns(is_used=False, is_hit=False)
        reasons = ["Z' 0.10 below 0.30"] if fails else []
        qc = {"plate": f"NP-{r + 1:04d}", "n_wells": 384, "n_flagged": 3, "z_prime": 0.1 if fails else 0.71}
        qc |= {"n_negative": 20, "n_positive": 12, "intervals": {"z_prime": [0.05, 0.8], "ssmd": [9.0, 16.0]}}
        qc |= {"z_prime_robust": None, "ssmd": 12.0, "signal_to_background": 3.0, "cv_negative": 0.05}
        qc |= {"edge_effect_z": 0.4, "passed": not fails, "reasons": reasons}
        qc |= {"flags": {"out-of-focus": 2, "undosed": 2, "few-cells": 1}}
        summary = {**qc, "n_hits": int(frame["is_hit"].sum()), "n_compounds": len(self._picked(r))}
        inputs = {"word": "use"} if is_admitted else {}
        return self._step("normalise", r, summary, {"responses.parquet": frame}, {"plate_qc.json": qc}, inputs)

    def _evaluate(self, r: int) -> dict[str, Any]:
        groups: Sequence[tuple[str, int]] = [("all", 350), ("exploit", 317), ("explore", 33)] if r else []
        rows = [
            {"group": g, "nominal": c, "n": n, "empirical": c - 0.02, "low": c - 0.06, "high": min(1.0, c + 0.02),
             "mean_width": 0.6}
            for g, n in groups
            for c in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
        ]  # fmt: skip
        summary = {"confidence": 0.9, "n": 350 if r else 0, "n_inside": 308 if r else 0, "coverage": rows}
        table = pl.DataFrame(schema=SCHEMA) if r == 0 else self._met()
        params = {"seed": 1, "round": r, "purpose": "evaluate", "confidence": 0.9}
        done = self._step("evaluate", r, summary, {}, {"coverage.json": rows})
        tell({r: table} if r else {}, params, self.folder / done["folder"])
        return done

    def _met(self) -> pl.DataFrame:
        names = {"compound_id": [f"C{n}" for n in range(350)], "reason": ["exploit"] * 317 + ["explore"] * 33}
        p = {name: np.random.default_rng(8).random(350) for name in ("p", "p_picked")}
        zero = dict.fromkeys(("mean", "spread", "similarity", "label", "p_hit", "least", "least_picked"), [0.0] * 350)
        return pl.DataFrame({**names, **p, **zero, "is_hit": [False] * 350}).select(list(SCHEMA))


def _nothing(_round: int) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class _Numbered:
    kind: str
    time: datetime
    campaign: str | None
    payload: Mapping[str, Any]


def _numbered(events: Sequence[NewEvent]) -> list[_Numbered]:
    return [_Numbered(e.kind, e.time, e.campaign, e.payload) for e in events]


_ROWS = "\n".join(f'"WellsSelection{n + 1}", ' + ", ".join(["TRUE"] * 24) for n in range(16))
_HTD = f""""HTSInfoFile", Version 1.0
"XWells", 24
"YWells", 16
{_ROWS}
"XSites", 1
"YSites", 1
"SiteSelection1", TRUE
"Waves", TRUE
"NWavelengths", 2
"WaveName1", "DNA"
"WaveName2", "Reporter"
"WaveCollect1", 1
"WaveCollect2", 1
"EndFile"
"""
