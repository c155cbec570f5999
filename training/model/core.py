# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
"""How the parts are put together; which classes the parts are makes the kind of model.

Annotations are evaluated here: torch.fx copies those of a traced `forward`, and TorchScript knows no type by its name
in a string.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adfeast.contract.tensors import Tensors
from training.model.embed import Flat
from training.model.head import Head
from training.model.prep import Prep


class Core(nn.Module):
    """Raw inputs to an uncalibrated logit [B, 1]: what is trained."""

    def __init__(
        self, prep: Prep, dense_arch: nn.Module, embed: nn.Module, inter_arch: nn.Module, over_arch: nn.Module
    ) -> None:
        super().__init__()
        self.prep, self.dense_arch, self.embed = prep, dense_arch, embed
        self.inter_arch, self.over_arch = inter_arch, over_arch

    def forward(self, dense: Tensor, ids: Tensor, lists: Tensor, embeddings: Tensor) -> Tensor:
        """Tensors as `adfeast.contract.signature` describes them; one of width 0 is [B, 0]."""
        numbers, scaled, rows, list_rows, held = self.prep(dense, ids, lists, embeddings)
        vectors = self.embed(rows, list_rows, held, numbers)
        return self.over_arch(self.inter_arch(self.dense_arch(numbers, scaled), vectors))


class Served(nn.Module):
    """Raw inputs to a probability [B, 1]: what is exported."""

    def __init__(self, core: Core, head: Head) -> None:
        super().__init__()
        self.core, self.head = core, head

    def forward(self, dense: Tensor, ids: Tensor, lists: Tensor, embeddings: Tensor) -> Tensor:
        """Probability [B, 1]."""
        return self.head(self.core(dense, ids, lists, embeddings), ids)

    def flat(self) -> "Served":
        """A copy whose tables are one table with Gather; the answers are equal up to rounding."""
        twin = copy.deepcopy(self)
        twin.core.embed = Flat(twin.core.embed)
        twin.eval()
        return twin


def to_torch(tensors: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A model's arguments; memory is shared."""
    return tuple(torch.from_numpy(a) for a in (tensors.dense, tensors.ids, tensors.lists, tensors.embeddings))


@torch.no_grad()
def predict(module: nn.Module, tensors: Tensors, chunk: int = 65536) -> NDArray[np.float64]:
    """What a `Core` (logits) or `Served` (probabilities) says of each row, float64 [B]."""
    arguments = to_torch(tensors)
    parts = [
        module(*(a[n : n + chunk] for a in arguments)).double().reshape(-1).numpy()
        for n in range(0, len(tensors.dense), chunk)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)
