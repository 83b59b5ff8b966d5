"""Deep ensembles and message-passing networks: they learn, say how sure they are, repeat themselves, and keep."""

import builtins
import csv
import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'nextplate[deep]'")

from nextplate.chem.valued import encode_library
from nextplate.errors import ModelError
from nextplate.models import deep, kind_of, mpnn, predict_library
from nextplate.models.graphs import ATOM_SIZES, graph_of, plan_of
from nextplate.models.members import Schedule, held_out_rows
from nextplate.models.scoring import roc_auc

ESOL = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data" / "moleculenet" / "ESOL_delaney-processed.csv"
SMILES = (
    "CCO", "CCN", "CCC", "CCCl", "CCBr", "CCCO", "CCCN", "CC(C)O", "CC(C)N", "c1ccccc1", "c1ccccc1O", "c1ccccc1N",
    "c1ccncc1", "Cc1ccccc1", "Cc1ccncc1", "CC(=O)O", "CC(=O)N", "CCC(=O)O", "CCC(=O)N", "C1CCCCC1", "OC1CCCCC1",
    "NC1CCCCC1", "CCOCC", "CCSCC", "CCOC(C)=O", "C", "[NH4+]", "CC#N", "C=C", "O=C=O",
)  # fmt: skip
KINDS = [pytest.param(deep, id="deep"), pytest.param(mpnn, id="mpnn")]


@pytest.fixture(scope="module")
def features():
    return encode_library([f"C{i}" for i in range(len(SMILES))], SMILES, n_jobs=1)


@pytest.fixture(scope="module")
def y(features):
    rng = np.random.default_rng(0)
    return np.array([s.count("O") - s.count("N") for s in SMILES]) + rng.normal(0, 0.1, len(SMILES))


@pytest.fixture
def quick(monkeypatch):
    for kind in (deep, mpnn):
        monkeypatch.setattr(kind, "SCHEDULE", dataclasses.replace(kind.SCHEDULE, n_members=3, n_epochs=12, patience=5))


@pytest.fixture(scope="module")
def solubility():
    """Every fourth compound of ESOL: log solubility of 282 of them."""
    if not ESOL.exists():
        pytest.skip(f"no {ESOL}: set NEXTPLATE_DATA")
    with ESOL.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::4]
    features = encode_library([str(i) for i in range(len(rows))], [row["smiles"] for row in rows], n_jobs=1)
    return features, np.array([float(row["measured log solubility in mols per litre"]) for row in rows])


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_solubility_and_says_how_far_off_it_is(solubility, kind):
    features, logs = solubility
    order = np.random.default_rng(1).permutation(len(logs))
    tested, rest = order[:180], order[180:]
    belief = kind.fit(features, tested, logs[tested], seed=1)
    mean, spread = kind.predict(belief, features, rest)
    error = logs[rest] - mean
    assert np.sqrt(np.mean(error**2)) < 0.6 * logs.std()
    assert 0.75 < np.mean(np.abs(error) < 1.645 * spread) <= 1
    members = kind.draws(belief, features, rest)
    np.testing.assert_allclose(members.mean(axis=0), mean, atol=1e-5)
    assert (members.std(axis=0) <= spread).all()


@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_probabilities_of_hits(solubility, kind, quick):
    features, logs = solubility
    hit = (logs > np.quantile(logs, 0.8)).astype(float)
    tested, rest = np.arange(180), np.arange(180, len(hit))
    belief = kind.fit(features, tested, hit[tested], seed=1)
    mean, spread = kind.predict(belief, features, rest)
    assert ((mean >= 0) & (mean <= 1)).all()
    assert (spread >= 0).all()
    assert roc_auc(hit[rest], mean) > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_belief_whatever_else_is_random(features, y, kind, quick):
    import torch

    rows = np.arange(20)
    torch.manual_seed(1)
    first = kind.fit(features, rows, y[rows], seed=3)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second, other = (kind.fit(features, rows, y[rows], seed=seed) for seed in (3, 4))
    for name, value in first.weights.items():
        np.testing.assert_array_equal(value, second.weights[name])
    assert not np.array_equal(first.weights["output"], other.weights["output"])
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_belief_is_the_same_belief(tmp_path, features, y, kind, quick):
    belief = kind.fit(features, np.arange(20), y[:20], seed=3)
    for name in ("a", "b"):
        kind.save(belief, tmp_path / name, metrics={"rmse": 0.3})
    loaded = kind.load(tmp_path / "a")
    for ours, theirs in zip(kind.predict(belief, features), kind.predict(loaded, features), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loaded.learned == belief.learned
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"card.json", "ensemble.safetensors"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["altered", "cut", "removed", "card", "other kind"])
def test_a_folder_that_was_tampered_with_is_refused(tmp_path, features, y, kind, damage, quick):
    kind.save(kind.fit(features, np.arange(3), y[:3]), tmp_path / "belief")
    path = tmp_path / "belief" / "ensemble.safetensors"
    content = path.read_bytes()
    if damage == "altered":
        path.write_bytes(content[:-1] + b"!")
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "removed":
        path.unlink()
    elif damage == "card":
        card = tmp_path / "belief" / "card.json"
        card.write_text(card.read_text().replace('"unit": 1.0', '"unit": 9.0'))
    reader = {deep: mpnn, mpnn: deep}[kind] if damage == "other kind" else kind
    with pytest.raises(ModelError, match=r"altered|cannot be read|not '"):
        reader.load(tmp_path / "belief")


LITTLE = [
    (1, None, "only 1 labelled compounds"),
    (5, None, "only 5 labelled compounds"),
    (20, 0.0, "no hit yet"),
    (20, 1.0, "all are hits"),
    (20, 3.7, "all labels equal"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "constant", "note"), LITTLE)
def test_too_little_to_learn_from_is_said_and_predicts_the_mean(features, y, kind, n, constant, note):
    labels = y[:n] if constant is None else np.full(n, constant)
    belief = kind.fit(features, np.arange(n), labels)
    mean, spread = kind.predict(belief, features)
    assert note in belief.notes[0]
    assert np.ptp(mean) == 0
    assert (spread > 0).all()
    assert kind.draws(belief, features).shape == (1, len(SMILES))


@pytest.mark.parametrize("kind", KINDS)
def test_atoms_without_bonds_and_compounds_that_look_alike_are_no_obstacle(kind, quick):
    salts = ("C", "N", "O", "S", "P", "[Cl-]", "Br", "I", "F", "[Na+]", "[K+]", "[Li+]", "[Mg+2]", "[Zn+2]")
    for smiles in (salts, ("CCO",) * 14):
        features = encode_library([f"C{i}" for i in range(14)], smiles, n_jobs=1)
        belief = kind.fit(features, np.arange(13), np.arange(13.0))
        mean, spread = kind.predict(belief, features)
        assert np.isfinite(mean).all()
        assert (spread > 0).all()
        assert kind.predict(belief, features, np.zeros(0, dtype=np.intp))[0].shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_hit_is_learned_from(features, kind, quick):
    hit = np.zeros(20)
    hit[4] = 1
    mean, spread = kind.predict(kind.fit(features, np.arange(20), hit), features)
    assert np.isfinite(mean).all()
    assert np.isfinite(spread).all()


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_a_library_are_predicted_as_the_whole(features, y, kind, quick, monkeypatch):
    belief = kind.fit(features, np.arange(20), y[:20])
    whole = kind.predict(belief, features)
    monkeypatch.setattr("nextplate.models.crossing._BLOCK", 7)
    monkeypatch.setattr(kind, "_BLOCK", 4)
    for part, all_at_once in zip(predict_library(kind, belief, features), whole, strict=True):
        np.testing.assert_allclose(part, all_at_once, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_library_of_another_version_is_refused(features, y, kind, quick):
    belief = kind.fit(features, np.arange(20), y[:20])
    fewer = dataclasses.replace(features, descriptors=features.descriptors[:, 1:], descriptor_names=("x",) * 21)
    with pytest.raises(ModelError, match="fitted on"):
        kind.predict(belief, fewer)


@pytest.mark.parametrize("kind", KINDS)
def test_descriptors_that_are_undefined_are_taken_as_average(features, y, kind, quick):
    holed = dataclasses.replace(features, descriptors=features.descriptors.copy())
    holed.descriptors[::3, 2] = np.nan
    holed.descriptors[:, 5] = np.nan
    mean, _ = kind.predict(kind.fit(holed, np.arange(20), y[:20]), holed)
    assert np.isfinite(mean).all()


@pytest.mark.parametrize("name", ["deep", "mpnn"])
def test_without_torch_the_extra_is_named(features, y, name, monkeypatch):
    kind = kind_of(name)
    real = builtins.__import__

    def without(module, *args, **kwargs):
        if module == "torch":
            raise ImportError(module)
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=rf"'{name}' needs torch.*nextplate\[deep\]"):
        kind.fit(features, np.arange(20), y[:20])


def test_replicates_are_held_out_together_and_hits_in_their_share():
    schedule = Schedule(4, 8, 1e-3, 0.0, 1, 1, 0.25)
    compounds = np.repeat(np.arange(40), 2)
    hit = (compounds < 8).astype(float)
    held = held_out_rows(hit, compounds, schedule, np.random.default_rng(0), is_binary=True)
    np.testing.assert_array_equal(held[:, ::2], held[:, 1::2])
    np.testing.assert_array_equal(held[:, :16].sum(axis=1), 4)
    np.testing.assert_array_equal(held[:, 16:].sum(axis=1), 16)
    assert len({tuple(row) for row in held}) == 4


def _states(graphs, depth, rng_seed=0):
    """Message passing over the plan with plain numpy, tanh and random weights."""
    rng = np.random.default_rng(rng_seed)
    plan = plan_of(graphs, depth)
    first, mix = rng.normal(size=(plan.bond_inputs.shape[1], 5)), rng.normal(size=(5, 5)) * 0.3
    own = plan.bond_inputs @ first
    message = np.tanh(own)
    for step in plan.steps:
        message = np.tanh(own[step.own] + _sum(message, step) @ mix)
    atoms = np.tanh(plan.atom_inputs[plan.last.own] @ first[: sum(ATOM_SIZES)] + _sum(message, plan.last) @ mix)
    return _sum(atoms, plan.members), first, mix


def _sum(states, sets):
    stops = np.append(sets.starts[1:], len(sets.sources))
    return np.array([states[sets.sources[a:b]].sum(axis=0) for a, b in zip(sets.starts, stops, strict=True)])


def _plainly(graph, depth, first, mix):
    """The same, one structure, every directed bond by itself, as the paper writes it."""
    directed = [(int(a), int(b), i) for i, (a, b) in enumerate(graph.ends)]
    directed = [e for a, b, i in directed for e in ((a, b, i), (b, a, i))]
    atoms = plan_one_hot(graph)
    own = np.array([np.concatenate([atoms[a], bond_one_hot(graph, i)]) @ first for a, _, i in directed]).reshape(-1, 5)
    message = np.tanh(own)
    for _ in range(depth - 1):
        behind = np.zeros_like(message)
        for e, (a, b, _) in enumerate(directed):
            for k, (c, d, _) in enumerate(directed):
                if d == a and c != b:
                    behind[e] += message[k]
        message = np.tanh(own + behind @ mix)
    into = np.zeros((len(atoms), 5))
    for e, (_, b, _) in enumerate(directed):
        into[b] += message[e]
    return np.tanh(atoms @ first[: sum(ATOM_SIZES)] + into @ mix).sum(axis=0)


def plan_one_hot(graph):
    offsets = np.cumsum((0, *ATOM_SIZES[:-1]))
    out = np.zeros((len(graph.atoms), sum(ATOM_SIZES)))
    for row, codes in enumerate(graph.atoms):
        out[row, codes + offsets] = 1
    return out


def bond_one_hot(graph, bond):
    from nextplate.models.graphs import BOND_SIZES

    out = np.zeros(sum(BOND_SIZES))
    out[graph.bonds[bond] + np.cumsum((0, *BOND_SIZES[:-1]))] = 1
    return out


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_sharing_environments_changes_no_number(depth):
    smiles = (*SMILES[:25], "CC(=O)Nc1ccc(O)cc1", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "C", "OC[C@H](N)C(=O)O", "CCO")
    graphs = [graph_of(s) for s in smiles]
    together, first, mix = _states(graphs, depth)
    for one, graph in zip(together, graphs, strict=True):
        np.testing.assert_allclose(one, _plainly(graph, depth, first, mix), atol=1e-6)


def test_environments_are_shared():
    graphs = [graph_of("CC(=O)Nc1ccc(O)cc1")] * 50
    plan = plan_of(graphs, 4)
    assert len(plan.last.own) <= 11
    assert plan.n_messages == 50 * 4 * 22


def test_a_structure_that_is_none_is_named():
    with pytest.raises(ModelError, match="'C1CC' is not a standardised structure"):
        graph_of("C1CC")
