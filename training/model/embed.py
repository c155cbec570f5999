# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
"""The `embed` part: table rows to vectors [B, F, D], one vector a sparse input and one (the mean of its ids) a list.

Two forms with equal answers: `Bags` is TorchRec's, which trains sharded and quantizes; `Flat` is one table and Gather,
which exports to ONNX.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor, PoolingType
from torchrec.models.dlrm import SparseArch

from adfeast.contract.signature import Signature


class Bags(nn.Module):
    """A KeyedJaggedTensor of all sparse and list inputs and an EmbeddingBagCollection.

    Args:
        dim: width of every vector, a multiple of 4 (fbgemm).
        spread: tables start uniform in +-spread / sqrt(rows).
    """

    def __init__(self, signature: Signature, dim: int, spread: float) -> None:
        super().__init__()
        sparse, lists = signature.role("sparse"), signature.role("list")
        self.keys = [i.name for i in (*sparse, *lists)]
        self.list_widths = [i.width for i in lists]
        self.dim = dim
        rows = [i.hash_size + 1 for i in sparse] + [i.hash_size for i in lists]

        def start(weight: Tensor) -> Tensor:
            bound = spread / weight.shape[0] ** 0.5
            return nn.init.uniform_(weight, -bound, bound)

        tables = [
            EmbeddingBagConfig(
                name=f"table_{n}",  # a feature may not be named as its table is
                embedding_dim=dim,
                num_embeddings=count,
                feature_names=[key],
                pooling=PoolingType.MEAN,
                init_fn=start,
            )
            for n, (key, count) in enumerate(zip(self.keys, rows, strict=True))
        ]
        self.tables = SparseArch(EmbeddingBagCollection(tables=tables)) if tables else None

    @property
    def count(self) -> int:
        """F, vectors a row."""
        return len(self.keys)

    def weights(self) -> list[Tensor]:
        """The tables, [rows, D] each, sparse inputs first."""
        if self.tables is None:
            return []
        return [bag.weight for bag in self.tables.embedding_bag_collection.embedding_bags.values()]

    def forward(self, ids: Tensor, lists: Tensor, held: Tensor, numbers: Tensor) -> Tensor:
        """Vectors [B, F, D]; `numbers` only says B and the dtype when there is no table."""
        if self.tables is None:
            return numbers[:, :0].unsqueeze(2).expand(-1, -1, self.dim)
        columns = ids.t()
        values, lengths, begin = [columns.reshape(-1)], [torch.ones_like(columns).reshape(-1)], 0
        for width in self.list_widths:
            mask = held[:, begin : begin + width]
            values.append(lists[:, begin : begin + width][mask])
            lengths.append(mask.sum(dim=1))
            begin += width
        jagged = KeyedJaggedTensor(keys=self.keys, values=torch.cat(values), lengths=torch.cat(lengths).to(torch.int32))
        return self.tables(jagged)


class Flat(nn.Module):
    """The tables of `bags` as one, with an offset a column."""

    def __init__(self, bags: Bags) -> None:
        super().__init__()
        tables = bags.weights()
        starts = torch.tensor([0, *[t.shape[0] for t in tables]]).cumsum(0)[:-1]
        sparse = len(tables) - len(bags.list_widths)
        self.sparse, self.list_widths, self.dim = sparse, bags.list_widths, bags.dim
        self.register_buffer("table", torch.cat(tables) if tables else torch.zeros(0, bags.dim))
        self.register_buffer("offsets", starts[:sparse].clone())
        widths = torch.tensor(bags.list_widths, dtype=torch.int64)
        self.register_buffer("list_offsets", starts[sparse:].repeat_interleave(widths))

    def forward(self, ids: Tensor, lists: Tensor, held: Tensor, numbers: Tensor) -> Tensor:
        """See `Bags.forward`."""
        vectors = []
        if self.sparse:
            vectors.append(self.table[ids + self.offsets])
        begin = 0
        if self.list_widths:
            found = self.table[lists + self.list_offsets] * held.unsqueeze(2).to(self.table.dtype)
        for width in self.list_widths:
            count = held[:, begin : begin + width].sum(dim=1, keepdim=True).clamp(min=1).to(self.table.dtype)
            pooled = found[:, begin : begin + width].sum(dim=1) / count
            vectors.append(pooled.unsqueeze(1))
            begin += width
        if not vectors:
            return numbers[:, :0].unsqueeze(2).expand(-1, -1, self.dim)
        return torch.cat(vectors, dim=1)
