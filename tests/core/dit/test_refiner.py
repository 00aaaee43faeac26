"""From token states to text tokens: the attention of Apple's cards, where PyTorch's own is wrong, is the same."""

import pytest
import torch
import torch.nn.functional as F

from sora_core.dit.refiner import masked_attention


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_in_plain_products_equals_pytorchs_own(dtype):
    draws = torch.Generator().manual_seed(0)
    # As the refiner calls it: 8 queries, a number of keys that is no multiple of 32, and texts of two lengths.
    q, k, v = (torch.randn(2, n, 4, 64, generator=draws).to(dtype).transpose(1, 2) for n in (8, 56, 56))
    mask = (torch.arange(56) < torch.tensor([[3], [40]]))[:, None, None]
    expected = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(masked_attention(q, k, v, mask).float(), expected, atol=tolerance, rtol=0)
