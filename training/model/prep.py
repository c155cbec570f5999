# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
"""The first step of every flavour: raw values of a signature to standardised numbers and table rows.

Ids are mixed before they are bucketed, because ids with a pattern (multiples of 1,000, say) would use few buckets of a
plain modulo. Only multiplication and modulo by a prime are used: shifts of negative int64 export to ONNX wrongly and
without an error. With P = 2**31 - 1 every product stays below 2**62, and Python's modulo (the sign of the divisor)
makes negative ids safe.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adfeast.contract.ids import MISSING_ID
from adfeast.contract.signature import Signature
from adfeast.contract.tensors import Tensors
from training.model.errors import ModelError

PRIME = 2**31 - 1
MULTIPLIER = 1_327_217_885
# Given in the place of a dense value that is missing, too old or stale, as the default of an input that is to be told
# apart from every real value: a power of two, so exact in single precision, finite, and far beyond any feature.
MISSING_NUMBER = -(2.0**127)
LIMIT = 8.0  # typical deviations; beyond lie bad values, which must not drown a prediction
LOG_LIMIT = 16.0  # of a log: a value that many times e-fold is far off, but its order of magnitude still tells


def mix(ids: Tensor, sizes: Tensor) -> Tensor:
    """Buckets int64 in [0, sizes) of int64 ids of any sign; `sizes` broadcasts over the last dimension."""
    return ids % PRIME * MULTIPLIER % PRIME % sizes


def rows_of(ids: Tensor, sizes: Tensor) -> Tensor:
    """Table rows of ids: their buckets, and beyond the last of those the row of MISSING_ID."""
    return torch.where(ids == MISSING_ID, sizes, mix(ids, sizes))


class Prep(nn.Module):
    """log1p, centre, scale and clamp dense values; scale embeddings; bucket ids and lists.

    A dense column is scaled by what is typical of the rows in which it is not zero. Most counts of clicks are zero in
    nearly all rows: their standard deviation says how many rows have a click, not how many clicks a row has, and
    divided by it 1 and 200 clicks would both lie beyond any sensible limit.

    What is missing is told: a dense input whose default is MISSING_NUMBER stands at its mean then, and a column beside
    the numbers says so; so does one for each embedding that is all zeros and each list without an id.

    A sparse input has `hash_size + 1` rows: the last is for MISSING_ID. Padding of a list has no row, it is masked.
    """

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        dense, sparse, lists = (signature.role(r) for r in ("dense", "sparse", "list"))
        for i in dense:
            if i.transform not in ("none", "log1p"):
                raise ModelError(f"input {i.name!r} has transform {i.transform!r}; the model knows none and log1p")
        self.dense_width, self.embedding_width = signature.width("dense"), signature.width("embedding")
        self.sparse_width, self.list_width = signature.width("sparse"), signature.width("list")
        self.embedding_widths = [i.width for i in signature.role("embedding")]
        self.list_widths = [i.width for i in lists]
        told = [i.default == MISSING_NUMBER for i in dense]
        self.told_width = sum(told)
        self.register_buffer("told", torch.tensor(told, dtype=torch.bool))
        self.register_buffer("told_columns", torch.tensor([n for n, t in enumerate(told) if t], dtype=torch.int64))
        self.register_buffer("log", torch.tensor([i.transform == "log1p" for i in dense], dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(self.dense_width))
        self.register_buffer("inverse_scale", torch.ones(self.dense_width))
        self.register_buffer("limit", torch.where(self.log, LOG_LIMIT, LIMIT))
        self.register_buffer("embedding_scale", torch.ones(self.embedding_width))
        self.register_buffer("sparse_sizes", torch.tensor([i.hash_size for i in sparse], dtype=torch.int64))
        sizes = [i.hash_size for i in lists for _ in range(i.width)]
        self.register_buffer("list_sizes", torch.tensor(sizes, dtype=torch.int64))

    def transformed(self, dense: Tensor) -> Tensor:
        """Dense values before standardisation, [B, D]; a negative value counts as 0 where a log is taken."""
        values = dense.to(self.mean.dtype)
        return torch.where(self.log, torch.log1p(values.clamp(min=0.0)), values)

    def forward(
        self, dense: Tensor, ids: Tensor, lists: Tensor, embeddings: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns numbers [B, `dense_inputs`] (also of what is missing; one constant column when there would be none),
        embeddings [B, E], table rows of ids [B, S] and lists [B, L], and which list positions hold an id, bool [B, L].
        """
        numbers, scaled, rows, list_rows, held = dense, embeddings, ids, lists, lists >= 0
        if self.dense_width:
            values = (self.transformed(dense) - self.mean) * self.inverse_scale
            numbers = torch.minimum(torch.maximum(values, -self.limit), self.limit)
            if self.told_width:
                blank = (dense == MISSING_NUMBER) & self.told
                numbers = torch.where(blank, torch.zeros_like(numbers), numbers)
                numbers = torch.cat([numbers, blank[:, self.told_columns].to(numbers.dtype)], dim=1)
        elif not self.embedding_width and not self.list_width:
            numbers = (ids[:, :1] * 0).to(self.mean.dtype)
        numbers = numbers.to(self.mean.dtype)
        if self.embedding_width:
            numbers = self._with_absent(numbers, embeddings != 0, self.embedding_widths)
            scaled = (embeddings.to(self.mean.dtype) * self.embedding_scale).clamp(-LIMIT, LIMIT)
        if self.sparse_width:
            rows = rows_of(ids, self.sparse_sizes)
        if self.list_width:
            held = lists != MISSING_ID
            numbers = self._with_absent(numbers, held, self.list_widths)
            list_rows = mix(lists, self.list_sizes)
        return numbers, scaled, rows, list_rows, held

    def _with_absent(self, numbers: Tensor, filled: Tensor, widths: list[int]) -> Tensor:
        """`numbers` and a column a block of `filled` that is 1 where nothing of it is."""
        columns, begin = [numbers], 0
        for width in widths:
            count = filled[:, begin : begin + width].to(numbers.dtype).sum(dim=1, keepdim=True)
            columns.append(1 - count.clamp(max=1.0))
            begin += width
        return torch.cat(columns, dim=1)

    @property
    def dense_inputs(self) -> int:
        """Columns of `numbers`."""
        columns = self.dense_width + self.told_width + len(self.embedding_widths) + len(self.list_widths)
        return columns or 1

    @torch.no_grad()
    def fit(self, parts: Iterable[Tensors]) -> None:
        """Fits mean and scale of each dense column and the root mean square of each embedding, in one pass.

        What is missing says nothing of either. The scale is the root mean square distance from the mean in rows that
        are not zero, or the standard deviation where that is larger.

        A column that does not vary is centred and left at its scale.

        Raises:
            ModelError: no rows.
        """
        rows, known, filled_rows = 0, np.zeros(self.dense_width), np.zeros(self.dense_width)
        total, square = np.zeros(self.dense_width), np.zeros(self.dense_width)
        energy, filled = np.zeros(len(self.embedding_widths)), np.zeros(len(self.embedding_widths))
        for part in parts:
            blank = (part.dense == MISSING_NUMBER) & self.told.numpy()
            values = np.where(blank, 0.0, self.transformed(torch.from_numpy(part.dense)).double().numpy())
            rows += len(values)
            known += len(values) - np.count_nonzero(blank, axis=0)
            filled_rows += np.count_nonzero(values, axis=0)
            total += values.sum(0)
            square += (values**2).sum(0)
            for n, block in enumerate(self._blocks(part.embeddings)):
                norms = (block.astype(np.float64) ** 2).sum(1)
                energy[n] += norms.sum()
                filled[n] += np.count_nonzero(norms) * block.shape[1]  # missing ones are zeros and say nothing of scale
        if not rows:
            raise ModelError("no rows to fit the standardisation of dense inputs on")
        known = np.maximum(known, 1)
        mean = total / known
        around = square - 2 * mean * total + filled_rows * mean**2  # summed over the rows that are not zero
        variance = np.maximum(square / known - mean**2, around / np.maximum(filled_rows, 1))
        steady = variance <= 1e-12 * np.maximum(mean**2, 1)
        self.mean.copy_(torch.from_numpy(mean))
        self.inverse_scale.copy_(torch.from_numpy(1 / np.sqrt(np.where(steady, 1.0, variance))))
        scale = np.sqrt(np.where(energy > 0, filled, 1.0) / np.where(energy > 0, energy, 1.0))
        self.embedding_scale.copy_(torch.from_numpy(np.repeat(scale, self.embedding_widths)))

    def _blocks(self, embeddings: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if not self.embedding_widths:
            return []
        return np.split(embeddings, np.cumsum(self.embedding_widths)[:-1], axis=1)
