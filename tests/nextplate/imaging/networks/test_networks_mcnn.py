"""The multi-scale network: its size, its cost, any field, and the fast copy that says the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch
import torch.nn.functional as F

from nextplate.errors import ModelError
from nextplate.imaging.networks.cost import forward_gflop, n_parameters, training_gflop
from nextplate.imaging.networks.inference import FastMcnn
from nextplate.imaging.networks.mcnn import McnnShape, make_mcnn

PAPER = McnnShape(3, 13, head="flatten", size_px=(1024, 1280))
MEAN = McnnShape(3, 13)
COARSE = McnnShape(3, 13, has_full_resolution=False)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize(("shape", "millions"), [(PAPER, 42.58), (MEAN, 1.158), (COARSE, 1.128)])
def test_the_network_has_as_many_weights_as_the_facts_page_counts(shape, millions):
    counted = sum(p.numel() for p in make_mcnn(shape, 1).parameters())
    assert n_parameters(shape) == counted
    assert counted / 1e6 == pytest.approx(millions, rel=1e-3)


def test_the_arithmetic_is_that_of_the_facts_page():
    assert forward_gflop(PAPER, 1024, 1280) == pytest.approx(51, abs=0.5)
    assert training_gflop(PAPER, 1024, 1280) == pytest.approx(3 * 51.4, rel=0.03)
    # Dropping the full-resolution branch saves a factor of 3.5.
    assert forward_gflop(MEAN, 1024, 1280) / forward_gflop(COARSE, 1024, 1280) == pytest.approx(3.5, abs=0.05)


def test_counted_arithmetic_is_what_torch_counts():
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode(display=False)
    with counter, torch.no_grad():
        make_mcnn(MEAN, 1)(torch.zeros(1, 3, 96, 130))
    assert forward_gflop(MEAN, 96, 130) == pytest.approx(counter.get_total_flops() / 1e9, rel=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (63, 65), (100, 237), (129, 40)])
@pytest.mark.parametrize("full", [True, False])
def test_fields_of_any_size_go_in(size, full):
    shape = McnnShape(2, 5, has_full_resolution=full)
    network = make_mcnn(shape, 1)
    outputs, embedding = network(torch.rand(2, 2, *size))
    grid = network.grid(torch.rand(1, 2, *size))
    assert outputs.shape == (2, 5)
    assert embedding.shape == (2, 512)
    assert grid.shape == (1, 208 if full else 192, -(-size[0] // 64), -(-size[1] // 64))


def test_halving_and_late_relu_give_the_numbers_of_the_paper_s_layers():
    network = make_mcnn(McnnShape(2, 5), 3)
    x = torch.rand(1, 2, 128, 192)
    found = []
    for n, branch in enumerate(network.branches):
        y = F.max_pool2d(x, 2**n)
        for layer in branch.convolutions:
            y = F.relu(layer(y))
        found.append(F.max_pool2d(y, 2 ** (6 - n)))
    assert torch.allclose(network.grid(x), torch.cat(found, dim=1), atol=1e-6)


def test_the_last_rows_count_where_the_size_is_no_multiple_of_64():
    network = make_mcnn(McnnShape(1, 2), 1)
    x = torch.zeros(1, 1, 70, 64)
    marked = x.clone()
    marked[..., 69, :] = 1
    assert not torch.equal(network(x)[1], network(marked)[1])


def test_the_flatten_head_takes_one_size():
    network = make_mcnn(McnnShape(1, 2, head="flatten", size_px=(128, 192)), 1)
    assert network(torch.rand(1, 1, 128, 192))[0].shape == (1, 2)
    with pytest.raises(ModelError, match="128, 192"):
        network(torch.rand(1, 1, 192, 128))
    with pytest.raises(ModelError, match="takes 1 channels and was given 3"):
        network(torch.rand(1, 3, 128, 192))


@pytest.mark.parametrize(("head", "size"), [("flatten", None), ("mean", (64, 64))])
def test_head_and_size_belong_together(head, size):
    with pytest.raises(ModelError, match="flatten head"):
        McnnShape(1, 2, head=head, size_px=size)


def test_one_seed_gives_one_network_and_leaves_torch_s_own_randomness_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second, other = (make_mcnn(McnnShape(1, 2), s).mix.weight for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 3e-2)])
@pytest.mark.parametrize("full", [True, False])
def test_the_fast_copy_says_what_the_network_says(precision, tolerance, full):
    network = make_mcnn(McnnShape(2, 5, has_full_resolution=full), 1)
    x = torch.rand(2, 2, 130, 190)
    with torch.no_grad():
        outputs, embedding = network(x)
    fast_outputs, fast_embedding = FastMcnn(network, precision=precision)(x)
    for ours, truth in ((fast_outputs, outputs), (fast_embedding, embedding)):
        assert ours.dtype == torch.float32
        assert float((ours - truth).abs().max()) < tolerance * float(truth.abs().max())


def test_torch_is_not_imported_with_imaging():
    root = Path(__file__).parents[4]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    code = (
        "import sys, nextplate.imaging, nextplate.imaging.networks, nextplate.imaging.networks.cache, controller.cli; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
