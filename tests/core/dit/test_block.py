"""The block's arithmetic for inference says what the formulas say, and leaves training to them."""

import pytest
import torch
import torch.nn.functional as F

from sora_core.dit import row
from sora_core.dit.block import EPSILON, norm, swiglu
from sora_core.dit.rope import rotate, rotated_heads, whole_rows


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1.0, 1e4])
def test_normalisation_equals_pytorch(draws, scale):
    x = scale * torch.randn(37, 64, generator=draws)
    torch.testing.assert_close(norm(x), F.rms_norm(x, (64,), eps=EPSILON), atol=2e-6, rtol=0)


def test_gate_equals_the_formula_and_changes_no_input(draws):
    gate, up = torch.randn(2, 33, 24, generator=draws)
    kept = gate.clone(), up.clone()
    assert torch.equal(swiglu(gate, up), F.silu(gate) * up)
    assert torch.equal(gate, kept[0])
    assert torch.equal(up, kept[1])


@pytest.mark.parametrize("rows", [1024, 8, 5])
def test_heads_rotated_in_parts_equal_the_formula(draws, rows):
    qk = torch.randn(21, 3, 2, 64, generator=draws)[:, :2]  # a part of a larger tensor, as in the block
    table = torch.rand(2, 64, generator=draws) + 0.5
    angles = 10 * torch.randn(21, 32, generator=draws)
    turn = whole_rows(angles.cos(), angles.sin())
    found = rotated_heads(qk, table, *turn, EPSILON, rows)
    for i in range(2):
        expected = rotate(F.rms_norm(qk[:, i], (64,), eps=EPSILON) * table[i], *turn)
        torch.testing.assert_close(found[i], expected, atol=3e-6, rtol=0)


def test_what_is_trained_keeps_its_gradients(draws):
    x = torch.randn(5, 16, generator=draws).requires_grad_()
    (norm(x) * swiglu(x, x)).sum().backward()
    y = x.detach().clone().requires_grad_()
    (F.rms_norm(y, (16,), eps=EPSILON) * (F.silu(y) * y)).sum().backward()
    assert torch.equal(x.grad, y.grad)


@torch.inference_mode()
def test_words_made_once_serve_every_pass(nano, draws):
    states, mask = nano.text.encode(["a red ball", ""])
    x, sigma = torch.randn(2, 16, 2, 4, 4, generator=draws), torch.tensor([0.3, 0.8])
    words = nano.dit.refiner(states, mask)
    torch.testing.assert_close(nano.dit(x, sigma, words, None), nano.dit(x, sigma, states, mask), atol=1e-6, rtol=0)


@torch.inference_mode()
def test_places_that_are_kept_and_made_anew_are_the_same(nano, draws, monkeypatch):
    states, mask = nano.text.encode(["a red ball"])
    x, sigma = torch.randn(1, 16, 3, 4, 6, generator=draws), torch.tensor([0.5])

    def predict():
        clips = ({}, {"fps": 24.0}, {"start": 1.5}, {"continued": True}, {"circular": True})
        return [nano.dit(x, sigma, states, mask, **clip) for clip in clips]

    kept, again = predict(), predict()
    monkeypatch.setattr(row, "_KEPT_CELLS", 0)
    for one, two, anew in zip(kept, again, predict(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, anew)
    assert all(not torch.equal(kept[0], other) for other in kept[1:])
