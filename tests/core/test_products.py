"""The fast route gives the same numbers, and stays out of the way of training, compiling and other precisions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sora_core import empty_layers, products
from sora_core.config import preset
from sora_core.dit import DiT


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def fast(monkeypatch):
    """The route as on a processor that it is made for: its operators exist wherever PyTorch carries oneDNN."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch carries no oneDNN")
    monkeypatch.setattr(products, "outruns_default", lambda: True)
    monkeypatch.setattr(products, "whole_width", lambda: True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(1,), (7,), (2, 65)])
def test_linear_equals_pytorch(fast, rows, bias):
    x, weight, b = noise(*rows, 64), noise(96, 64) / 8, noise(96) if bias else None
    with torch.inference_mode():
        assert products.applies(x, weight, b)
        torch.testing.assert_close(products.linear(x, weight, b), F.linear(x, weight, b), atol=1e-5, rtol=0)


def test_linear_takes_part_of_a_larger_tensor(fast):
    x, weight = noise(33, 128)[:, 64:], noise(96, 64) / 8
    with torch.inference_mode():
        torch.testing.assert_close(products.linear(x, weight), F.linear(x, weight), atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [40, 512, 700])
def test_attention_equals_pytorch_for_short_and_long_sequences(fast, length):
    q, k, v = (noise(2, length, 3, 64 + i)[..., :64].transpose(1, 2) for i in range(3))
    with torch.inference_mode():
        ours, theirs = products.dense_attention(q, k, v), F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_one_more_sequence_in_the_batch_changes_no_bit(fast):
    q, k, v = (noise(2, 3, 600, 64 + i)[..., :64] for i in range(3))
    with torch.inference_mode():
        alone = products.dense_attention(q[:1], k[:1], v[:1])
        assert torch.equal(products.dense_attention(q, k, v)[:1], alone)


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 3), (1, 1, 1)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_convolution_equals_pytorch(fast, kernel, memory_format):
    layer = nn.Conv3d(8, 12, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2)).requires_grad_(False)
    x = noise(1, 8, 5, 6, 7).contiguous(memory_format=memory_format)
    torch.testing.assert_close(products.convolution(layer, x), layer(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [{"stride": 2}, {"groups": 4}, {"padding": "same"}, {"padding_mode": "replicate"}])
def test_convolutions_of_other_kinds_keep_their_meaning(fast, options):
    layer = nn.Conv3d(8, 8, 3, **options).requires_grad_(False)
    x = noise(1, 8, 5, 6, 7)
    torch.testing.assert_close(products.convolution(layer, x), layer(x), atol=1e-5, rtol=0)


def test_gradients_flow_as_if_there_were_no_fast_route(fast):
    x, weight = noise(5, 64).requires_grad_(), noise(96, 64).requires_grad_()
    products.linear(x, weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.detach().sum(0).expand(5, -1))
    assert weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_take_the_ordinary_route(fast, dtype):
    x, weight = noise(5, 64).to(dtype), noise(96, 64).to(dtype)
    assert not products.applies(x, weight)
    assert products.linear(x, weight).dtype == dtype


def test_a_whole_transformer_says_the_same_on_both_routes(fast, monkeypatch):
    config = preset("nano")
    net = DiT(config.dit, config.vae.compression, operations=empty_layers).requires_grad_(False)
    net.initialise(torch.Generator().manual_seed(0))
    nn.init.normal_(net.exit.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    latent, states = noise(1, 16, 2, 34, 34), noise(1, 5, config.dit.text_width)
    arguments = latent, torch.tensor([0.5]), states, torch.ones(1, 5)
    quick = net(*arguments)
    monkeypatch.setattr(products, "outruns_default", lambda: False)
    usual = net(*arguments)
    assert usual.abs().max() > 0.1
    torch.testing.assert_close(quick, usual, atol=1e-5, rtol=0)
    assert not torch.equal(quick, usual), "both took the same route"


@pytest.mark.parametrize(
    ("described", "faster", "tiles"),
    [
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\n", True, False),
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\n", True, True),
        ("AMD64 Family 26 Model 68 Stepping 0, AuthenticAMD", True, True),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 6\n", False, False),
    ],
)
def test_route_is_chosen_by_the_processor(monkeypatch, described, faster, tiles):
    monkeypatch.setattr(products, "_processor", lambda: described)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert products.outruns_default.__wrapped__() is faster
    monkeypatch.setattr(products, "outruns_default", lambda: faster)
    assert products.whole_width.__wrapped__() is tiles
