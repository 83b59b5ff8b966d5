"""The referee counts against the truth and gives nothing else away."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from nextplate.errors import DataError
from sim.lab import Referee, SimLab, SimSettings, SourceWell
from sim.truth import Truths, effect_at
from sim.vendor import wehi_molecules
from tests.sim.rig import SOURCE


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> SimLab:
    lab = SimLab.open(tmp_path_factory.mktemp("referee"), SimSettings(seed=4, hit_share=0.05))
    wells = [
        SourceWell(f"SRC-{i // 96}", f"{'ABCDEFGH'[i // 12 % 8]}{i % 12 + 1}", name, smiles, 60_000, 100.0, SOURCE)
        for i, (name, smiles) in enumerate(wehi_molecules()[:400])
    ]
    lab.deliver(wells)
    return lab


@pytest.fixture(scope="module")
def truth(lab: SimLab) -> dict[str, bool]:
    ids, _, hits = Referee(lab._world)._library()
    return dict(zip(ids, map(bool, hits), strict=True))


def test_curves_count_hits_and_stand_beside_two_baselines(lab: SimLab, truth: dict[str, bool]) -> None:
    ids = sorted(truth)
    rounds = [ids[:40], ids[40:80], [*ids[80:120], ids[0]]]
    report = lab.referee.curves(rounds, n_seeds=3)
    assert (report.n_library, report.n_true_hits) == (400, 20)
    assert sum(truth.values()) == 20
    assert [r.n_tested for r in report.rounds] == [40, 80, 120]
    assert [r.n_true_hits for r in report.rounds] == [sum(truth[i] for i in ids[:n]) for n in (40, 80, 120)]
    assert [r.random_expected for r in report.rounds] == pytest.approx([2.0, 4.0, 6.0])
    assert report.rounds[0].similarity_mean == report.rounds[0].n_true_hits
    assert report.rounds[-1].similarity_mean >= report.rounds[0].similarity_mean
    assert set(report.origin) == {"n_true_hits", "random", "similarity"}
    assert report.to_json() == lab.referee.curves(rounds, n_seeds=3).to_json()


def test_testing_everything_finds_everything(lab: SimLab, truth: dict[str, bool]) -> None:
    last = lab.referee.curves([sorted(truth)], n_seeds=1).rounds[-1]
    assert last.n_true_hits == last.random_expected == last.similarity_mean == 20
    assert last.random_sd == 0.0


def test_the_report_names_no_compound(lab: SimLab, truth: dict[str, bool]) -> None:
    report = lab.referee.curves([sorted(truth)[:30]], n_seeds=1)
    assert "WEHI" not in json.dumps(asdict(report))


def test_confusion_counts_missed_and_false_hits(lab: SimLab, truth: dict[str, bool]) -> None:
    hits = [name for name, true in truth.items() if true]
    duds = [name for name, true in truth.items() if not true]
    found = lab.referee.confusion(called_hits=[*hits[:3], duds[0]], tested=[*hits[:5], *duds[:10]])
    assert asdict(found) == {"n_tested": 15, "n_true_hits": 5, "n_called": 4, "n_right": 3, "n_missed": 2, "n_false": 1}


def test_unknown_or_untested_compounds_are_refused(lab: SimLab, truth: dict[str, bool]) -> None:
    with pytest.raises(DataError, match="never delivered"):
        lab.referee.curves([["NOBODY"]])
    with pytest.raises(DataError, match="was not tested"):
        lab.referee.confusion([sorted(truth)[0]], [sorted(truth)[1]])


def test_hits_follow_the_settings(lab: SimLab) -> None:
    assert lab.referee.curves([], n_seeds=1).hit_dose_um == 10.0
    names, _, hits = Referee(lab._world)._library()
    rows = lab._world.rows(
        "SELECT pec50, efficacy, hill, tox_pec50 FROM truth WHERE compound_id <> 'REF-1' ORDER BY compound_id"
    )
    effects = effect_at(Truths(*np.array([tuple(row) for row in rows]).T), 10.0)
    assert len(names) == len(effects)
    assert effects[hits].min() >= 0.5
