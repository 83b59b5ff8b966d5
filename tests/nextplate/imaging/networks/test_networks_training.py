"""Training: it learns, it goes on as if nothing had happened, and what it leaves is whole."""

import json
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import polars as pl
import torch
from tiny_plates import WELLS, tiny_readout, write_plate

from nextplate.errors import DataError, ModelError
from nextplate.imaging.networks.cache import build_cache
from nextplate.imaging.networks.embedding import field_embeddings, infer, well_embeddings
from nextplate.imaging.networks.folder import card_of, load_network, save_network
from nextplate.imaging.networks.inference import FastMcnn
from nextplate.imaging.networks.loader import Loader
from nextplate.imaging.networks.mcnn import McnnShape
from nextplate.imaging.networks.place import Place
from nextplate.imaging.networks.scaling import pixel_scale
from nextplate.imaging.networks.schedule import TrainParams, rate_at
from nextplate.imaging.networks.targets import balanced_weights, class_targets, response_targets
from nextplate.imaging.networks.training import Task, train

PARAMS = TrainParams(
    epochs=4, batch_size=5, learning_rate=3e-3, crop_px=32, warmup_epochs=1, precision="float32", label_smoothing=0.05
)
CLASSES = {("P1", well): "bright" if well[0] == "B" else "dark" for well in WELLS}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return build_cache([tiny_readout(write_plate(folder / "P1"))], folder / "pixels")


def task_of(cache, params=PARAMS, targets=None):
    targets = targets or class_targets(cache, CLASSES)
    rows = cache.usable[targets.labelled[cache.usable]]
    shape = McnnShape(2, len(targets.names), n_mixed=32, n_embedding=16)
    return Task(Loader(cache, pixel_scale(cache, "plate"), 2), rows, targets, shape, params)


def losses(trained):
    return [record["loss"] for record in trained.history]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_resumed_training_gives_the_losses_and_weights_of_an_uninterrupted_one(cache, tmp_path, optimiser):
    task = task_of(cache, replace(PARAMS, optimiser=optimiser))
    whole = train(task, Place(), time.perf_counter)
    for n_epochs in (1, 3, None):
        resumed = train(task, Place(), time.perf_counter, tmp_path, stop_after=n_epochs)
    assert losses(resumed) == losses(whole)
    for (name, a), b in zip(resumed.network.state_dict().items(), whole.network.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert [p.name for p in tmp_path.glob("*.safetensors")] == ["epoch-4.safetensors"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bright_wells_are_told_from_dark_ones(cache, precision):
    trained = train(task_of(cache, replace(PARAMS, epochs=12, precision=precision)), Place(), time.perf_counter)
    assert trained.history[-1]["accuracy"] == 1.0
    assert losses(trained)[-1] < 0.5 * losses(trained)[0]


def test_a_response_is_learnt_in_its_own_unit(cache):
    responses = {("P1", w): [100.0 + 50 * (w[0] == "B")] for w in WELLS}
    targets = response_targets(cache, ["strength"], responses, cache.usable)
    trained = train(task_of(cache, replace(PARAMS, epochs=12), targets), Place(), time.perf_counter)
    assert (targets.mean, targets.spread) == ((125.0,), (25.0,))
    assert trained.history[-1]["rmse"] < 0.5


def test_a_well_without_label_teaches_nothing(cache):
    targets = class_targets(cache, {k: v for k, v in CLASSES.items() if k[1] != "A03"})
    assert {cache.fields[i].well for i in np.flatnonzero(~targets.labelled)} == {"A03"}
    with pytest.raises(DataError, match="label more wells"):
        class_targets(cache, {("P1", "A01"): "dark"})
    with pytest.raises(DataError, match="strength is the same in every well"):
        response_targets(cache, ["strength"], {k: [1.0] for k in CLASSES}, cache.usable)


def test_classes_weigh_alike(cache):
    targets = class_targets(cache, {k: "rare" if k[1] == "A01" else "common" for k in CLASSES})
    weights = balanced_weights(targets, cache.usable)
    assert targets.names == ("common", "rare")
    assert weights[1] / weights[0] == pytest.approx(5)
    assert weights[targets.values].mean() == pytest.approx(1)


def test_the_rate_rises_and_falls():
    rates = [rate_at(step, 100, 10, 1.0) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0)


def test_the_checkpoint_of_another_training_is_refused(cache, tmp_path):
    train(task_of(cache), Place(), time.perf_counter, tmp_path, stop_after=1)
    with pytest.raises(DataError, match="other data or settings"):
        train(task_of(cache, replace(PARAMS, seed=2)), Place(), time.perf_counter, tmp_path)
    (tmp_path / "epoch-1.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match="was altered"):
        train(task_of(cache), Place(), time.perf_counter, tmp_path)


def test_a_loss_that_is_no_number_stops_with_advice(cache):
    params = replace(PARAMS, learning_rate=1e30, clip_norm=1e30, warmup_epochs=0, optimiser="sgd")
    with pytest.raises(ModelError, match="lower the learning rate"):
        train(task_of(cache, params), Place(), time.perf_counter)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"optimiser": "adam"}, {"precision": "float16"}])
def test_settings_that_cannot_train_are_refused(wrong):
    with pytest.raises(DataError):
        TrainParams(**wrong)


def saved(cache, folder):
    task = task_of(cache, replace(PARAMS, epochs=1))
    trained = train(task, Place(), time.perf_counter)
    card = card_of(task.shape, task.targets, cache.channels, 1, "plate", "digest", {"training_loss": 1.0}, {"seed": 1})
    save_network(trained.network, card, folder)
    return trained.network, card


def test_a_saved_network_says_the_same_and_its_card_is_kept(cache, tmp_path):
    network, card = saved(cache, tmp_path / "model")
    loaded, found = load_network(tmp_path / "model")
    x = torch.rand(1, 2, 40, 48)
    with torch.no_grad():
        # Other memory layout, other order of additions.
        assert torch.allclose(loaded(x)[1], network(x)[1], atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True))
    assert found == card
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["card.json", "weights.safetensors"]
    with pytest.raises(ModelError, match="never overwritten"):
        save_network(network, card, tmp_path / "model")


def test_a_damaged_network_is_refused(cache, tmp_path):
    saved(cache, tmp_path / "model")
    card, weights = tmp_path / "model" / "card.json", tmp_path / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(DataError, match="was altered"):
        load_network(tmp_path / "model")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"scaling": "well"}))
    with pytest.raises(DataError, match="scaling 'well'"):
        load_network(tmp_path / "model")
    card.write_text("{")
    with pytest.raises(DataError, match=r"card\.json: cannot be read"):
        load_network(tmp_path / "model")


def test_embeddings_have_a_row_per_field_and_the_mean_per_well(tmp_path):
    plate = write_plate(tmp_path / "P1")
    (plate / "A02_s1_GFP.tif").unlink()
    for channel in ("DNA", "GFP"):
        (plate / f"A03_s1_{channel}.tif").write_bytes(b"")
        (plate / f"A03_s2_{channel}.tif").write_bytes(b"")
    cache = build_cache([tiny_readout(plate)], tmp_path / "pixels")
    network, _ = saved(cache, tmp_path / "model")
    found = infer(FastMcnn(network, precision="float32"), task_of(cache).loader, cache.usable, time.perf_counter)
    fields = field_embeddings(cache, found)
    wells = well_embeddings(fields)
    names = [f"Embedding_{i:03d}" for i in range(16)]
    assert fields.columns == ["plate", "well", "field", "reason", *names]
    assert wells.columns == ["plate", "well", "n_fields", *names]
    counts = dict(wells.select("well", "n_fields").iter_rows())
    assert counts == {"A01": 2, "A02": 1, "A03": 0, "B01": 2, "B02": 2, "B03": 2}
    bad = fields.filter(pl.col("reason") != "")
    assert len(bad) == 3
    assert bad.select(names).null_count().sum_horizontal().item() == 3 * 16
    of_b01 = fields.filter(pl.col("well") == "B01").select(names).mean()
    assert wells.filter(pl.col("well") == "B01").select(names).to_numpy() == pytest.approx(of_b01.to_numpy())
