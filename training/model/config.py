"""How to train: everything that may be turned, with the defaults of a small set with few clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError, model_validator

from training.model.errors import ConfigError
from training.model.progressive import Method


class TrainConfig(BaseModel):
    """How to train.

    Attributes:
        fractions: shares of the rows, by time, for training, for choosing and calibrating (a half each, the later one
            calibrates), and held out; they sum to 1.
        negative_rate: share of the training rows without a click that all but the logistic regression see; the head
            corrects for it.
        ridges: weights of the logistic regression's penalty to choose from, in clicks' worth of evidence. Like the
            DLRM's number of passes, rows later than what was trained on choose by log loss.
        dim, dense_layers, over_layers, projection: the DLRM's sizes, and DCN-v2's; see `training.model.kinds.dlrm`.
        cross_layers, cross_rank: of DCN-v2's cross network.
        max_epochs, patience, enough_steps: when both stop; see `training.model.sharded.Stopping`.
        calibration: of what the head corrects: `platt` (scale and shift), `temperature` (scale), `isotonic` (any rising
            curve), `by_slice` (a shift for each value of an id input), or `auto`, the best of them on later rows; see
            `training.model.progressive`.
        calibration_slices: id inputs that may say of which slice a row is; none names all of few buckets.
        replicates: bootstrap draws behind each interval.
        margin: by how much the normalized entropy may be above that of the model that serves; see
            `training.model.incumbent`.
        threads: CPU threads; results repeat bitwise for the same number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    negative_rate: float = Field(default=1.0, gt=0, le=1)
    batch_size: int = Field(default=128, ge=1)
    ridges: tuple[PositiveFloat, ...] = Field(default=(1.0, 5.0, 25.0, 125.0, 625.0), min_length=1)
    dim: int = Field(default=8, ge=4, multiple_of=4)
    dense_layers: tuple[int, ...] = (32,)
    over_layers: tuple[int, ...] = Field(default=(32,), min_length=1)
    projection: int = Field(default=8, ge=1)
    cross_layers: int = Field(default=2, ge=1)
    cross_rank: int = Field(default=16, ge=1)
    dense_lr: float = Field(default=1e-3, gt=0)
    table_lr: float = Field(default=0.02, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_epochs: int = Field(default=30, ge=1)
    patience: int = Field(default=3, ge=1)
    enough_steps: int = Field(default=5000, ge=1)
    calibration: Method = "auto"
    calibration_slices: tuple[str, ...] = ()
    replicates: int = Field(default=200, ge=1)
    margin: float = Field(default=0.002, ge=0)
    threads: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _fractions_are_shares(self) -> TrainConfig:
        if abs(sum(self.fractions) - 1) > 1e-9 or min(self.fractions) < 0:
            raise ValueError(f"fractions must be 3 shares that sum to 1, got {self.fractions}")
        return self


def read_config(path: Path) -> TrainConfig:
    """The configuration in a YAML or JSON file; what it does not name has its default.

    Raises:
        ConfigError: the file is not readable, or a key or a value is wrong; the message names the file and all of them.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text())  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"training configuration {path} is not readable: {error}") from error
    if not isinstance(raw, dict | None):
        raise ConfigError(f"training configuration {path} must hold keys and values, holds {type(raw).__name__}")
    try:
        return TrainConfig.model_validate(raw or {})
    except ValidationError as error:
        named = [(".".join(map(str, e["loc"])) or "all", e["msg"], e["input"]) for e in error.errors()]
        wrong = "; ".join(f"{key}: {what}, got {value!r}" for key, what, value in named)
        known = ", ".join(TrainConfig.model_fields)
        raise ConfigError(f"training configuration {path}: {wrong} (the keys are {known})") from error
