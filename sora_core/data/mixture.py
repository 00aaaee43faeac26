"""How often each shard, and each clip of it, is drawn when the clips of several worlds are trained on together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from .latents import LatentShard
from .worlds.attributes import Attributes
from .worlds.catalogue import shown

DIRECTED = {"motion": ("left", "right", "circle"), "camera": ("pan_left", "pan_right", "push_in", "pull_out")}
"""Values that say where things go: so little of a clip's error that a model learns them last."""
DIRECTED_WEIGHT = 3.0


def check_shares(worlds: Collection[str], shares: Mapping[str, float]) -> None:
    """Raise ValueError for a share of a world that the data lack, or when the shares leave nothing for the others."""
    for world, share in shares.items():
        if world not in worlds:
            raise ValueError(f"a share was given to {world!r}, but the data hold only {', '.join(sorted(worlds))}")
        if not 0 < share <= 1:
            raise ValueError(f"the share of {world} is {share:g}; it must be above 0 and at most 1, for instance 0.1")
    if set(worlds) - shares.keys() and sum(shares.values()) >= 1:
        given = ", ".join(f"{world}={share:g}" for world, share in shares.items())
        raise ValueError(f"the shares {given} leave nothing for the other worlds; they must add up to less than 1")


def shard_weights(shards: Sequence[LatentShard], shares: Mapping[str, float]) -> Tensor:
    """Weights (shards) to draw by: worlds in `shares` get that share of all draws, the others the rest, by their clips.

    Raises what `check_shares` raises.
    """
    clips: dict[str, int] = {}
    for shard in shards:
        clips[shard.world] = clips.get(shard.world, 0) + len(shard.labels)
    check_shares(clips, shares)
    others = sum(count for world, count in clips.items() if world not in shares)
    left = 1 - sum(shares.values())
    weights = []
    for shard in shards:
        # With no shares every clip is equally likely.
        per_clip = shares[shard.world] / clips[shard.world] if shard.world in shares else left / others
        weights.append(len(shard.labels) * per_clip if shares else float(len(shard.labels)))
    return torch.tensor(weights)


def clip_weights(shard: LatentShard) -> Tensor:
    """Weights (clips) to draw a shard's clips by: `DIRECTED` ones `DIRECTED_WEIGHT` times as often as others."""
    weights = torch.ones(len(shard.labels))
    for row, labels in enumerate(shard.labels.tolist()):
        sheet = shown(shard.world, tuple(labels))
        if isinstance(sheet, Attributes) and any(getattr(sheet, name) in values for name, values in DIRECTED.items()):
            weights[row] = DIRECTED_WEIGHT
    return weights
