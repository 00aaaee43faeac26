"""Explicit randomness: independent CPU generators named by a seed and a path of keys."""

from __future__ import annotations

import hashlib
import operator

import torch


def generator(seed: int, *keys: int | str) -> torch.Generator:
    """A CPU generator that depends only on `seed` and `keys`: the same stream on every machine and in every order."""
    # Numbers of other libraries are written differently, and would name other streams.
    path = operator.index(seed), *(key if isinstance(key, str) else operator.index(key) for key in keys)
    digest = hashlib.blake2b(repr(path).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
