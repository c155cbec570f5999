# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
"""Logistic regression in the same four parts: one weight a dense column, one an id, fitted to convergence.

The weight of an id is the sum of a row of dimension 4, because fbgemm takes no smaller row.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from adfeast.contract.signature import Signature
from training.model.core import Core
from training.model.embed import Bags
from training.model.prep import Prep

DIM = 4


class _Together(nn.Module):
    def forward(self, numbers: Tensor, embeddings: Tensor) -> Tensor:
        return torch.cat([numbers, embeddings], dim=1)


class _SumOfRows(nn.Module):
    """Appends the summed weights of all ids as a last column."""

    def forward(self, dense: Tensor, vectors: Tensor) -> Tensor:
        return torch.cat([dense, vectors.sum(dim=2).sum(dim=1, keepdim=True)], dim=1)


class _Linear(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)

    def forward(self, columns: Tensor) -> Tensor:
        return self.linear(columns[:, :-1]) + columns[:, -1:]


def logistic(signature: Signature, base_rate: float) -> Core:
    """A logistic regression that answers `base_rate` until it is fitted."""
    prep = Prep(signature)
    over = _Linear(prep.dense_inputs + prep.embedding_width)
    nn.init.zeros_(over.linear.weight)
    nn.init.constant_(over.linear.bias, math.log(base_rate / (1 - base_rate)))
    return Core(prep, _Together(), Bags(signature, DIM, spread=0.0), _SumOfRows(), over)


def penalty(core: Core) -> Tensor:
    """Half the squared weights, the bias excepted; equal to an id's own weight however its row shares it out."""
    squares = (core.over_arch.linear.weight**2).sum()
    for table in core.embed.weights():
        squares = squares + DIM * (table**2).sum()
    return squares / 2
