"""Training: learns, resumes to the same losses, two processes are one, networks on disk are whole."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install nextplate[deep]")
pytest.importorskip("safetensors", reason="safetensors is not installed: pip install nextplate[deep]")

from nextplate.errors import DataError, ModelError  # noqa: E402
from nextplate.imaging import open_readout  # noqa: E402
from nextplate.imaging.networks.architecture import Architecture  # noqa: E402
from nextplate.imaging.networks.cache import fill_cache  # noqa: E402
from nextplate.imaging.networks.embedding import embed  # noqa: E402
from nextplate.imaging.networks.fields import fields_of, to_target  # noqa: E402
from nextplate.imaging.networks.network import load_network, read_card, save_network  # noqa: E402
from nextplate.imaging.networks.normalisation import Normalisation  # noqa: E402
from nextplate.imaging.networks.prediction import predict, share_correct  # noqa: E402
from nextplate.imaging.networks.recipe import Recipe, rate_at  # noqa: E402
from nextplate.imaging.networks.training import Shown, train  # noqa: E402
from nextplate.imaging.networks.workers import worker_of  # noqa: E402
from tests.nextplate.imaging.networks.tiny_plates import plate_of, wells_of  # noqa: E402

RECIPE = Recipe(n_epochs=2, batch=4, precision="float32", seed=3, checkpoint_steps=2, learning_rate=2e-3)
SHAPE = Architecture(2, 3, mixed=32, hidden=16)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plate_of(tmp_path_factory.mktemp("plates") / "P1", wells_of(12, 3))


def shown_of(plate: Path, cache: Path, *, is_response: bool = False) -> Shown:
    fields = fields_of([open_readout(plate)])
    kinds = wells_of(12, 3)
    labels = {(None, w): str(k) if is_response else "abc"[k] for w, k in kinds.items()}
    target = to_target(fields, labels, "kind", is_response=is_response)
    opened = fill_cache(cache, fields)
    return Shown(opened, fields, target, np.arange(len(fields.fields)), Normalisation())


@pytest.fixture(scope="module")
def shown(plate, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return shown_of(plate, tmp_path_factory.mktemp("cache") / "c")


def test_a_network_learns_and_its_folder_says_the_same(shown, plate, tmp_path):
    trained = train(shown, SHAPE, replace(RECIPE, n_epochs=12, learning_rate=5e-3))
    said = predict(trained.network, shown.cache, shown.fields, shown.usable, precision="float32")
    assert share_correct(said.outputs, shown.target.values) > 0.9
    assert trained.losses[-1] < trained.losses[0] / 3
    save_network(trained.network, tmp_path / "model")
    loaded = load_network(tmp_path / "model")
    again = predict(loaded, shown.cache, shown.fields, shown.usable, precision="float32")
    np.testing.assert_array_equal(again.outputs, said.outputs)
    card = read_card(tmp_path / "model")
    assert card["classes"] == ["a", "b", "c"]
    assert card["channels"] == ["w1", "w2"]
    assert card["data_digest"] == trained.network.data_digest
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["card.json", "weights.safetensors"]
    with pytest.raises(ModelError, match="never overwritten"):
        save_network(loaded, tmp_path / "model")
    found = embed(open_readout(plate), loaded, precision="float32")
    assert found.fields.columns[:4] == ["plate", "well", "field", "Embedding_000"]
    assert found.wells.height == 12
    np.testing.assert_allclose(found.fields.select("^Embedding_.*$").to_numpy(), said.features, rtol=1e-4, atol=1e-5)


def test_a_response_is_learned_on_its_own_scale(plate, tmp_path):
    shown = shown_of(plate, tmp_path / "c", is_response=True)
    trained = train(shown, SHAPE.with_outputs(1), replace(RECIPE, n_epochs=12, learning_rate=5e-3))
    said = predict(trained.network, shown.cache, shown.fields, shown.usable, precision="float32")
    assert np.corrcoef(said.outputs[:, 0], shown.target.values)[0, 1] > 0.9


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_resumed_training_has_the_losses_of_an_uninterrupted_one(shown, tmp_path, optimiser):
    class Stop(Exception):
        pass

    def stop(done: int, _total: int) -> None:
        if done == 5:
            raise Stop

    recipe = replace(RECIPE, optimiser=optimiser)
    whole = train(shown, SHAPE, recipe)
    with pytest.raises(Stop):
        train(shown, SHAPE, recipe, checkpoints=tmp_path / "c", progress=stop)
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["step-000004"]
    resumed = train(shown, SHAPE, recipe, checkpoints=tmp_path / "c")
    assert resumed.first_step == 4
    assert resumed.losses == whole.losses
    for a, b in zip(whole.network.module.parameters(), resumed.network.module.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(DataError, match=r"learning_rate = 0\.002, now it is 1"):
        train(shown, SHAPE, replace(recipe, learning_rate=1), checkpoints=tmp_path / "c")


def test_a_damaged_checkpoint_is_one_clear_error(shown, tmp_path):
    train(shown, SHAPE, replace(RECIPE, n_epochs=1), checkpoints=tmp_path / "c")
    (weights,) = (tmp_path / "c").glob("step-*/state.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(DataError, match="was altered"):
        train(shown, SHAPE, replace(RECIPE, n_epochs=1), checkpoints=tmp_path / "c")


TOGETHER = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.nextplate.imaging.networks.test_training import RECIPE, SHAPE, shown_of
from nextplate.imaging.networks.training import train
from nextplate.imaging.networks.workers import worker_of
worker = worker_of(os.environ, "cpu")
shown = shown_of(Path(sys.argv[1]), Path(sys.argv[2]) / f"cache{worker.rank}")
recipe = replace(RECIPE, batch=2, learning_rate=1e-3)
trained = train(shown, SHAPE, recipe, worker=worker, checkpoints=Path(sys.argv[2]) / "ckpt")
if worker.is_first:
    print(json.dumps(trained.losses))
"""


def test_two_processes_under_torchrun_train_as_one_does(shown, plate, tmp_path):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    done = subprocess.run(
        [*command, str(plate), str(tmp_path)],
        capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    losses = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[")))
    # Two workers of two fields each at twice the rate of one: one worker of four fields.
    alone = train(shown, SHAPE, replace(RECIPE, batch=4, learning_rate=2e-3))
    np.testing.assert_allclose(losses, alone.losses, rtol=2e-4)
    assert len(list((tmp_path / "ckpt").iterdir())) == 1


def test_the_rate_warms_up_scales_with_workers_and_falls_to_nothing():
    recipe = Recipe(learning_rate=0.1, warmup=0.1)
    rates = [rate_at(s, 100, recipe, 4) for s in range(100)]
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == pytest.approx(0.4)
    assert np.argmax(rates) in (9, 10)
    assert rates[-1] < 0.001
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_epochs": 0}, "at least 1"),
        ({"warmup": 1.0}, r"lie in \[0, 1\)"),
        ({"optimiser": "adam"}, "can be sgd or adamw"),
        ({"precision": "half"}, "precision is"),
    ],
)
def test_a_recipe_that_trains_nothing_is_refused(change, message):
    with pytest.raises(ModelError, match=message):
        replace(RECIPE, **change)


def test_what_does_not_fit_is_told_before_training(shown):
    with pytest.raises(ModelError, match="the network has 2 channels and 4 outputs"):
        train(shown, SHAPE.with_outputs(4), RECIPE)
    with pytest.raises(ModelError, match="at least two values"):
        train(replace(shown, rows=np.array([0])), SHAPE, RECIPE)


def test_a_loss_that_is_no_number_stops_the_training(shown):
    with pytest.raises(ModelError, match="lower the learning rate"):
        train(shown, SHAPE, replace(RECIPE, optimiser="sgd", learning_rate=1e30, clip_norm=0.0))


def test_workers_are_told_by_the_environment():
    assert worker_of({}, "cpu").is_first
    second = worker_of({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, "cpu")
    assert (second.rank, second.n_workers, second.is_first) == (1, 2, False)
    with pytest.raises(ModelError, match="torchrun"):
        worker_of({"RANK": "x"})


@pytest.mark.parametrize("what", ["weights", "card", "absent", "format"])
def test_an_altered_network_is_refused(shown, tmp_path, what):
    trained = train(shown, SHAPE, replace(RECIPE, n_epochs=1))
    folder = tmp_path / "m"
    save_network(trained.network, folder)
    if what == "weights":
        (folder / "weights.safetensors").write_bytes(b"\x00" * 100)
    elif what == "card":
        (folder / "card.json").write_text("{")
    elif what == "format":
        (folder / "card.json").write_text('{"format": "x"}')
    else:
        (folder / "weights.safetensors").unlink()
    with pytest.raises(DataError, match=str(folder)):
        load_network(folder)
