"""Convolutions over cells: they change nothing at first, know no borders of patches, and in loops no first frame."""

import pytest
import torch

from sora_core.config import DiTConfig
from sora_core.dit import DiT
from sora_core.dit.detail import Detail
from sora_core.shapes import Compression

CONFIG = DiTConfig(width=64, heads=1, hidden=64, depth=1, text_width=64, detail_width=24, detail_depth=1)


@pytest.fixture
def detail(draws):
    detail = Detail(CONFIG)
    for parameter in detail.parameters():
        torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5, generator=draws)
    return detail.requires_grad_(False)


def inputs(draws, t, h, w):
    clean, rest = torch.randn(2, 1, 16, t, h, w, generator=draws)
    return clean, rest, torch.zeros(1, t * h * w // 4, 64)


def test_new_convolutions_change_nothing(draws):
    dit = DiT(CONFIG, Compression(time=4, space=8))
    dit.initialise(draws)
    clean, rest, features = inputs(draws, 2, 4, 4)
    assert torch.equal(dit.detail(clean, rest, features, False), clean)
    assert all(p.abs().max() > 0 for name, p in dit.detail.named_parameters() if name != "exit.weight")


def test_a_shift_by_one_cell_shifts_the_correction_although_a_patch_has_two(detail, draws):
    clean, rest, features = inputs(draws, 1, 8, 8)
    correction = detail(clean, rest, features, False) - clean
    moved = detail(clean.roll(1, -1), rest.roll(1, -1), features, False) - clean.roll(1, -1)
    torch.testing.assert_close(moved[..., 2:-1], correction[..., 1:-2], atol=1e-5, rtol=0)


def test_each_patch_adds_what_the_transformer_knows_of_it(detail, draws):
    clean, rest, features = inputs(draws, 1, 8, 8)
    known = features.clone()
    known[0, 0] = torch.randn(64, generator=draws)
    change = (detail(clean, rest, known, False) - detail(clean, rest, features, False)).abs().amax((0, 1, 2))
    assert change[:3, :3].min() > 0, "the patch is two cells wide, and a third one sees it"
    assert change[3:].max() == 0
    assert change[:, 3:].max() == 0


@pytest.mark.parametrize("circular", [False, True])
def test_the_last_frame_reaches_the_first_in_a_loop_only(detail, draws, circular):
    clean, rest, features = inputs(draws, 4, 4, 4)
    other = rest.clone()
    other[:, :, -1] += 1
    change = (detail(clean, other, features, circular) - detail(clean, rest, features, circular)).abs()
    assert change[:, :, 2:].amax((0, 1, 3, 4)).min() > 0
    assert change[:, :, 1].max() == 0
    assert (change[:, :, 0].max() > 0) == circular
