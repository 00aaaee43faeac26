"""Muon for the matrices of hidden layers, AdamW for everything else, as one optimiser with one state."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .precision import has_bfloat16
from .sharding import of_whole_matrices, own


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, by a quintic Newton-Schulz iteration (Jordan et al., Muon, 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    if has_bfloat16(matrix.device):
        x = x.bfloat16()
    transposed = x.shape[0] > x.shape[1]
    if transposed:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if transposed else x).to(matrix.dtype)


class MuonAdamW(torch.optim.Optimizer):
    """AdamW on the groups with `muon=False`; momentum orthogonalised per matrix on the groups with `muon=True`.

    Muon updates are scaled by 0.2 sqrt(max(rows, columns)), so both kinds share one learning rate
    (Liu et al., "Muon is scalable for LLM training", 2025). The taps of a convolution do not count as columns:
    neighbouring inputs are alike, so their updates add up.
    """

    def __init__(self, groups: list[dict], lr: float, weight_decay: float = 0.01):
        defaults = {"lr": lr, "weight_decay": weight_decay, "betas": (0.9, 0.99), "muon": False}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            torch._foreach_mul_([own(p) for p in parameters], 1 - group["lr"] * group["weight_decay"])
            if group["muon"]:
                self._muon(parameters, group["lr"])
            else:
                self._adam(parameters, group["lr"], *group["betas"])

    def _muon(self, parameters: list[Tensor], lr: float, momentum: float = 0.95) -> None:
        updates = []
        for p in parameters:
            state, gradient = self.state[p], p.grad
            assert gradient is not None
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
            past, gradient = own(state["momentum"]), own(gradient)
            past.lerp_(gradient, 1 - momentum)
            updates.append(gradient.lerp(past, momentum).flatten(1))
        for p, update in zip(parameters, of_whole_matrices(orthogonalise, updates, parameters), strict=True):
            own(p).add_(update.view_as(own(p)), alpha=-lr * 0.2 * math.sqrt(max(p.shape[:2])))

    def _adam(self, parameters: list[Tensor], lr: float, beta1: float, beta2: float, eps: float = 1e-8) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p].update(
                    mean=torch.zeros_like(p), square=torch.zeros_like(p), count=torch.zeros((), dtype=torch.float32)
                )
        gradients = [own(p.grad) for p in parameters if p.grad is not None]
        means = [own(self.state[p]["mean"]) for p in parameters]
        squares = [own(self.state[p]["square"]) for p in parameters]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        for p, mean, square in zip(parameters, means, squares, strict=True):
            count = self.state[p]["count"].add_(1).item()
            denominator = (square / (1 - beta2**count)).sqrt_().add_(eps)
            own(p).addcdiv_(mean, denominator, value=-lr / (1 - beta1**count))


def build_optimizer(named: Iterable[tuple[str, nn.Parameter]], lr: float) -> MuonAdamW:
    """Muon for matrices and convolutions; AdamW without decay for embeddings, vectors and fitted shortcuts.

    A shortcut starts as the principal components: it keeps near them, or early steps would undo the fit.
    """
    matrices, vectors, fitted = [], [], []
    for name, parameter in named:
        if "shortcut" in name or name.endswith("gain"):
            fitted.append(parameter)
        elif parameter.ndim >= 2 and "embed" not in name and "table" not in name:
            matrices.append(parameter)
        else:
            vectors.append(parameter)
    return MuonAdamW(
        [
            {"params": matrices, "muon": True, "share": 1.0},
            {"params": vectors, "muon": False, "share": 1.0, "weight_decay": 0.0},
            {"params": fitted, "muon": False, "share": 0.02, "weight_decay": 0.0},
        ],
        lr=lr,
    )
