"""The multi-scale network: published cost, any field size, the gradient it should have."""

import numpy as np
import pytest

from nextplate.errors import ModelError
from nextplate.imaging.networks.architecture import Architecture, forward_gflop, n_parameters

torch = pytest.importorskip("torch", reason="torch is not installed: pip install nextplate[deep]")

from torch.nn import functional  # noqa: E402

from nextplate.imaging.networks.mcnn import build  # noqa: E402
from nextplate.imaging.networks.pooled_convolution import pooled_convolution  # noqa: E402

PAPER = Architecture(3, 13, head="flatten", field_px=(1024, 1280))


@pytest.mark.parametrize(
    ("architecture", "millions"),
    [
        (PAPER, 42.6),
        (Architecture(3, 13), 1.16),
        (Architecture(3, 13, hidden=0), 0.64),
    ],
)
def test_parameters_are_those_of_the_facts_page(architecture, millions):
    assert n_parameters(architecture) / 1e6 == pytest.approx(millions, abs=0.006 if millions < 10 else 0.06)


def test_cost_is_that_of_the_facts_page():
    whole = forward_gflop(PAPER, 1024, 1280)
    assert whole == pytest.approx(51, abs=0.5)
    assert whole / forward_gflop(Architecture(3, 13, first_branch=1), 1024, 1280) == pytest.approx(3.5, abs=0.15)


@pytest.mark.parametrize("first_branch", [0, 1])
@pytest.mark.parametrize("size", [(64, 64), (65, 100), (128, 190)])
def test_any_field_size_gives_one_embedding(size, first_branch):
    architecture = Architecture(2, 5, first_branch=first_branch, mixed=32, hidden=16)
    network = build(architecture, np.random.default_rng(1))
    images = torch.rand(2, 2, *size)
    assert network(images).shape == (2, 5)
    assert network.features(images).shape == (2, 16)
    assert sum(p.numel() for p in network.parameters()) == n_parameters(architecture)


def plainly(network, images):
    """The network as the paper draws it: pool the input by 2^n, three convolution + ReLU, pool by 2^(6-n)."""
    grids = []
    for n, branch in enumerate(network.branches):
        x = functional.max_pool2d(images, 2**n) if n else images
        for convolution in branch.convolutions:
            x = functional.relu(functional.conv2d(x, convolution.weight, convolution.bias, padding=2))
        grids.append(functional.max_pool2d(x, 2 ** (6 - n)) if n < 6 else x)
    mixed = functional.relu(network.mix(torch.cat(grids, 1)))
    return network.output(functional.relu(network.hidden(mixed.mean((2, 3)))))


def test_outputs_and_gradients_are_those_of_the_plain_network():
    network = build(Architecture(3, 4, mixed=32, hidden=16), np.random.default_rng(2)).double()
    images = torch.rand(2, 3, 64, 128, dtype=torch.float64)
    plain = plainly(network, images)
    torch.testing.assert_close(network(images), plain)
    parameters = list(network.parameters())
    target = torch.tensor([1, 3])
    wanted = torch.autograd.grad(functional.cross_entropy(plain, target), parameters)
    found = torch.autograd.grad(functional.cross_entropy(network(images), target), parameters)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)


def test_the_gradient_behind_a_pool_is_exact_at_edges_and_in_single_windows():
    x = torch.randn(2, 3, 21, 30, requires_grad=True)
    weight, bias = torch.randn(4, 3, 5, 5, requires_grad=True), torch.randn(4, requires_grad=True)
    found = pooled_convolution(x, weight, bias, 8)
    wanted = functional.max_pool2d(functional.conv2d(x, weight, bias, padding=2), 8, ceil_mode=True)
    torch.testing.assert_close(found, wanted)
    pull = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad(found, (x, weight, bias), pull), torch.autograd.grad(wanted, (x, weight, bias), pull),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_gpu_gathers_the_patches_of_many_images_at_once(monkeypatch):
    import nextplate.imaging.networks.pooled_convolution as module

    x, weight, bias = torch.randn(3, 2, 40, 33), torch.randn(4, 2, 5, 5), torch.randn(4)
    inputs = [t.requires_grad_() for t in (x, weight, bias)]

    def gradients():
        return torch.autograd.grad(pooled_convolution(*inputs, 8).square().sum(), inputs)

    one_by_one = gradients()
    monkeypatch.setattr(module, "_parts", lambda batch, _values: [slice(0, 2), slice(2, 3)])
    for a, b in zip(gradients(), one_by_one, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_bfloat16_autocast_trains_and_stays_near_float32():
    network = build(Architecture(2, 3, mixed=32, hidden=16), np.random.default_rng(3))
    images = torch.rand(2, 2, 128, 128).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out = network(images)
    out.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == p.dtype for p in network.parameters())
    torch.testing.assert_close(out.float(), network(images), rtol=0.05, atol=0.05)


def test_the_published_head_takes_its_own_field_size_only():
    network = build(
        Architecture(1, 2, head="flatten", field_px=(128, 192), hidden=8, mixed=16), np.random.default_rng(4)
    )
    assert network(torch.rand(1, 1, 128, 192)).shape == (1, 2)
    with pytest.raises(ModelError, match="flatten head"):
        network(torch.rand(1, 1, 128, 128))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "flatten"}, "needs field_px"),
        ({"first_branch": 2}, "first_branch"),
        ({"head": "x"}, "head is"),
        ({"head": "flatten", "field_px": (32, 64)}, "at least 64"),
        ({"mixed": 0}, "at least 1"),
    ],
)
def test_a_network_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        Architecture(1, 2, **arguments)


def test_wrong_images_are_refused():
    network = build(Architecture(2, 2, mixed=8, hidden=4), np.random.default_rng(5))
    with pytest.raises(ModelError, match="channels"):
        network(torch.rand(1, 3, 64, 64))
    with pytest.raises(ModelError, match="at least 64"):
        network(torch.rand(1, 2, 32, 64))
