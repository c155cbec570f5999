# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
"""The last step of every flavour: a logit to a calibrated probability."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from adfeast.contract.signature import Signature
from training.model.calibrate import Calibration
from training.model.errors import ModelError
from training.model.prep import rows_of


class Head(nn.Module):
    """sigmoid of scale * (logit + log w) + shift, bent by a curve or moved by the row's slice where there is one.

    Adding log w is the correction q = p / (p + (1 - p) / w) for a model that saw only a share w of the negatives (He et
    al., Practical Lessons from Predicting Clicks on Ads at Facebook, 2014, section 6.3), without saturating.

    A curve is a sum of bends, each max(0, z - point) times its change of slope: so no flavour has to look for a place.

    Args:
        signature: of the model; needed only where there are slices.
    """

    def __init__(
        self,
        calibration: Calibration | None = None,
        negative_rate: float = 1.0,
        signature: Signature | None = None,
    ) -> None:
        super().__init__()
        if not 0 < negative_rate <= 1:
            raise ModelError(f"negative_rate must lie in (0, 1], got {negative_rate}")
        found = calibration or Calibration()
        self.register_buffer("scale", torch.tensor(found.scale))
        self.register_buffer("shift", torch.tensor(found.shift))
        self.register_buffer("log_rate", torch.tensor(math.log(negative_rate)))
        self.curved, self.sliced = found.curve is not None and len(found.curve.at) > 0, found.slices is not None
        if found.curve and self.curved:
            at = torch.from_numpy(found.curve.at)
            self.register_buffer("points", at.float())
            self.register_buffer("bends", torch.from_numpy(found.curve.bends).float())
            self.register_buffer("offset", torch.tensor(float(found.curve.to[0] - found.curve.at[0])))
        if found.slices:
            column, size = _column(signature, found.by)
            shifts = torch.zeros(size + 1)
            known = torch.from_numpy(found.slices.shift[: size + 1]).float()
            shifts[: len(known)] = known
            self.column = column
            self.register_buffer("size", torch.tensor(size))
            self.register_buffer("shifts", shifts)

    def forward(self, logit: Tensor, ids: Tensor) -> Tensor:
        """Probability [B, 1] in (0, 1) of logits [B, 1] of rows whose id inputs are `ids` [B, S]."""
        found = self.scale * (logit + self.log_rate) + self.shift
        if self.curved:
            beyond = (found - self.points).clamp(min=0.0) * self.bends
            found = found + self.offset + beyond.sum(dim=1, keepdim=True)
        if self.sliced:
            found = found + self.shifts[rows_of(ids[:, self.column : self.column + 1], self.size)]
        return torch.sigmoid(found)


def _column(signature: Signature | None, name: str) -> tuple[int, int]:
    """Place among the id inputs, and buckets, of the one that says of which slice a row is."""
    inputs = signature.role("sparse") if signature else ()
    for n, i in enumerate(inputs):
        if i.name == name:
            return n, i.hash_size
    raise ModelError(f"a calibration by slices of {name!r} needs a model that takes it: {[i.name for i in inputs]}")
