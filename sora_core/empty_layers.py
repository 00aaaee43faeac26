"""Layers without initial weights, for networks whose weights come from a file.

PyTorch draws a layer's first weights even where there is no memory to hold them, and for embeddings that imports its
whole compiler: several seconds in which a model could have been loaded.
"""

from __future__ import annotations

from torch import Tensor, nn

from .products import convolution, linear


class Linear(nn.Linear):
    """A linear layer whose weights are not set, and which takes the fastest exact product."""

    def reset_parameters(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class Conv3d(nn.Conv3d):
    """A convolution whose weights are not set, and which takes the fastest exact route."""

    def reset_parameters(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return convolution(self, x)


class Embedding(nn.Embedding):
    """An embedding whose weights are not set."""

    def reset_parameters(self) -> None:
        pass


class RMSNorm(nn.RMSNorm):
    """A normalisation whose weights are not set."""

    def reset_parameters(self) -> None:
        pass
