"""Faster products and attention inside ComfyUI: the same numbers, and only where nobody chose otherwise."""

from importlib import import_module

import pytest
import torch

from sora_core import products


@pytest.fixture
def routes(pack, monkeypatch):
    """Switches the faster products on or off, whatever the processor; switched on, counts them."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch carries no oneDNN")
    fast, calls = import_module(pack.__name__ + ".nodes.comfy_model.fast"), []

    def count(x, weight, bias=None):
        calls.append(tuple(weight.shape))
        return products.linear(x, weight, bias)

    monkeypatch.setattr(fast, "linear", count)

    def switch(on):
        calls.clear()
        for module in (fast, products):
            monkeypatch.setattr(module, "outruns_default", lambda: on)
        return calls

    return switch


@pytest.fixture
def backend(pack, monkeypatch):
    """Puts another attention where ComfyUI keeps its choice; returns the calls of the adapter to that choice."""
    transformer = import_module(pack.__name__ + ".nodes.comfy_model.transformer")
    chosen, calls = transformer.optimized_attention, []

    def watched(*args, **kwargs):
        calls.append(args[0].shape)
        return chosen(*args, **kwargs)

    monkeypatch.setattr(transformer, "optimized_attention", watched)
    return calls


def test_both_routes_predict_the_same(call_model, nano, noisy, clean, routes):
    calls = routes(True)
    quick = call_model(nano[0], noisy)
    assert len(calls) > 4 * 6, "four products in each of six blocks"
    routes(False)
    usual = call_model(nano[0], noisy)
    assert calls == []
    for found in (quick, usual):
        torch.testing.assert_close(found, clean, atol=1e-5, rtol=0)
    assert not torch.equal(quick, usual), "both took the same route"


def test_functions_that_comfyui_puts_on_a_weight_act_on_the_fast_route(call_model, nano, noisy, clean, routes):
    model = nano[0].clone()
    layer = model.model.diffusion_model.blocks[0].qkv

    def turned(executor, *args, **kwargs):
        layer.weight_function = [lambda weight: weight.flip(0)]
        try:
            return executor(*args, **kwargs)
        finally:
            layer.weight_function = []

    model.add_wrapper_with_key("diffusion_model", "test", turned)
    routes(True)
    quick = call_model(model, noisy)
    routes(False)
    torch.testing.assert_close(quick, call_model(model, noisy), atol=1e-5, rtol=0)
    assert (quick - clean).abs().max() > 1e-3


def test_where_nobody_chose_attention_it_is_ours(call_model, nano, noisy, clean, backend):
    torch.testing.assert_close(call_model(nano[0], noisy), clean, atol=1e-5, rtol=0)
    assert backend == []


@pytest.mark.parametrize("choice", ["flag", "backend"])
def test_attention_that_the_user_chose_is_asked(call_model, nano, noisy, clean, backend, monkeypatch, choice):
    import comfy.cli_args
    from comfy.ldm.modules import attention

    if choice == "flag":
        monkeypatch.setattr(comfy.cli_args.args, "use_quad_cross_attention", True)
    else:
        monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)
    torch.testing.assert_close(call_model(nano[0], noisy), clean, atol=1e-5, rtol=0)
    assert len(backend) == 6  # one for each block of nano
