# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
"""The last step of every flavour: a logit to a calibrated probability."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.model.errors import ModelError


class Head(nn.Module):
    """sigmoid(scale * (logit + log w) + shift).

    Adding log w is the correction q = p / (p + (1 - p) / w) for a model that saw only a share w of the negatives (He et
    al., Practical Lessons from Predicting Clicks on Ads at Facebook, 2014, section 6.3), without saturating.
    """

    def __init__(self, scale: float = 1.0, shift: float = 0.0, negative_rate: float = 1.0) -> None:
        super().__init__()
        if not 0 < negative_rate <= 1:
            raise ModelError(f"negative_rate must lie in (0, 1], got {negative_rate}")
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("shift", torch.tensor(shift))
        self.register_buffer("log_rate", torch.tensor(math.log(negative_rate)))

    def forward(self, logit: Tensor) -> Tensor:
        """Probability [B, 1] in (0, 1)."""
        return torch.sigmoid(self.scale * (logit + self.log_rate) + self.shift)
