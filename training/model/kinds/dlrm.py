# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
"""TorchRec's DLRM (Naumov et al., 2019) from its own parts; pretrained embeddings join its dense side, projected."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchrec.models.dlrm import DenseArch, InteractionArch, OverArch

from adfeast.contract.signature import Signature
from training.model.core import Core
from training.model.embed import Bags
from training.model.prep import Prep


class Projected(nn.Module):
    """Each embedding through a projection of its own, next to the dense columns, into TorchRec's dense arch."""

    def __init__(self, dense: int, embeddings: Sequence[int], projection: int, layers: list[int]) -> None:
        super().__init__()
        self.widths = list(embeddings)
        self.projections = nn.ModuleList(nn.Linear(width, projection) for width in self.widths)
        self.arch = DenseArch(dense + projection * len(self.widths), layers)

    def forward(self, numbers: Tensor, embeddings: Tensor) -> Tensor:
        parts, begin = [numbers], 0
        for width, project in zip(self.widths, self.projections, strict=True):
            parts.append(project(embeddings[:, begin : begin + width]))
            begin += width
        return self.arch(torch.cat(parts, dim=1))


@torch.no_grad()
def start_near(last: nn.Linear, base_rate: float) -> None:
    """Clicks are rare: starting elsewhere costs the first batches, and a small set has only first batches."""
    last.weight.mul_(0.1)
    last.bias.fill_(math.log(base_rate / (1 - base_rate)))


def dlrm(
    signature: Signature,
    base_rate: float,
    *,
    dim: int,
    dense_layers: Sequence[int],
    over_layers: Sequence[int],
    projection: int,
) -> Core:
    """A DLRM that starts near `base_rate`.

    Args:
        dim: width of every id's vector, a multiple of 4.
        dense_layers, over_layers: hidden layers; the dense side ends in `dim`, the other in 1.
        projection: columns a pretrained embedding becomes.
    """
    prep = Prep(signature)
    embed = Bags(signature, dim, spread=1.0)
    count = embed.count
    crossed = dim + count * (count + 1) // 2 if count else dim
    over = OverArch(crossed, [*over_layers, 1])
    start_near(over.model[1], base_rate)
    dense = Projected(prep.dense_inputs, prep.embedding_widths, projection, [*dense_layers, dim])
    return Core(prep, dense, embed, InteractionArch(count), over)
