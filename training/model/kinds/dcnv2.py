# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
"""DCN-v2 (Wang et al., DCN V2, 2021) from TorchRec's parts; the dense side is the DLRM's."""

from __future__ import annotations

from collections.abc import Sequence

from torchrec.models.dlrm import InteractionDCNArch, OverArch
from torchrec.modules.crossnet import LowRankCrossNet

from adfeast.contract.signature import Signature
from training.model.core import Core
from training.model.embed import Bags
from training.model.kinds.dlrm import Projected, start_near
from training.model.prep import Prep


def dcnv2(
    signature: Signature,
    base_rate: float,
    *,
    dim: int,
    dense_layers: Sequence[int],
    over_layers: Sequence[int],
    projection: int,
    layers: int,
    rank: int,
) -> Core:
    """A DCN-v2 that starts near `base_rate`: the dense side and all vectors, side by side, through a cross network.

    Args:
        layers, rank: of the cross network; the others are those of `training.model.kinds.dlrm.dlrm`.
    """
    prep = Prep(signature)
    embed = Bags(signature, dim, spread=1.0)
    width = dim * (embed.count + 1)
    cross = InteractionDCNArch(embed.count, LowRankCrossNet(width, layers, rank))
    over = OverArch(width, [*over_layers, 1])
    start_near(over.model[1], base_rate)
    dense = Projected(prep.dense_inputs, prep.embedding_widths, projection, [*dense_layers, dim])
    return Core(prep, dense, embed, cross, over)
