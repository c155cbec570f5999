from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from adfeast.contract.signature import Contract, Input, Signature
from adfeast.contract.tensors import Status
from training.data.columns import status_column

torch.set_num_threads(1)
ROWS_A_REQUEST = 10


def make_signature(dense: int = 4, sparse: int = 3, lists: int = 1, embeddings: int = 1) -> Signature:
    """A generated service; names say nothing, roles and sources are mixed."""
    inputs = [
        Input(f"d{n}", "v", "ad" if n % 2 else "user", "dense", "int64", transform=("log1p", "none")[n % 2])
        for n in range(dense)
    ]
    inputs += [Input(f"s{n}", "w", "ad", "sparse", "int64", hash_size=30 + 7 * n) for n in range(sparse)]
    inputs += [Input(f"l{n}", "w", "user", "list", "int64_list", width=3 + n, hash_size=50) for n in range(lists)]
    inputs += [Input(f"e{n}", "x", "ad", "embedding", "float32_list", width=5 + n) for n in range(embeddings)]
    return Signature("generated", tuple(inputs[::2] + inputs[1::2]))


def write_training_set(
    folder: Path,
    signature: Signature,
    rows: int = 6000,
    rate: float = 0.05,
    seed: int = 0,
    files: int = 2,
    signal: float = 1.0,
) -> Path:
    """A training set as the label join writes it; the first dense and all sparse inputs carry signal."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    logit = np.full(rows, np.log(rate / (1 - rate)))
    for n, i in enumerate(signature.inputs):
        if i.role == "dense":
            values = (
                random.poisson(3, rows).astype(np.float32)
                if i.transform == "log1p"
                else random.normal(size=rows).astype(np.float32)
            )
            logit += signal * 0.3 * (values - values.mean()) if n < 2 else 0
            columns[i.name] = pa.array(values)
        elif i.role == "sparse":
            values = random.integers(0, 20, rows) * 1000 - 1000
            values[random.random(rows) < 0.1] = -1
            logit += signal * np.where(values > 9000, 0.8, -0.4)
            columns[i.name] = pa.array(values)
        elif i.role == "list":
            values = random.integers(0, 1 << 60, (rows, i.width))
            values[random.random(values.shape) < 0.5] = -1
            columns[i.name] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), i.width)
        else:
            values = random.normal(size=(rows, i.width)).astype(np.float32)
            columns[i.name] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), i.width)
    clicks = random.random(rows) < 1 / (1 + np.exp(-logit))
    request = np.arange(rows) // ROWS_A_REQUEST
    names = {
        "label": pa.array(clicks.astype(np.int8)),
        "weight": pa.array(np.ones(rows, np.float32)),
        "request_id": pa.array([f"r{r}" for r in request]),
        "impression_id": pa.array([f"i{n}" for n in range(rows)]),
        "event_timestamp": pa.array(1_574_600_000_000_000 + request * 1_000_000, pa.timestamp("us", "UTC")),
    }
    present = {status_column(n): pa.array(np.full(rows, Status.PRESENT, np.uint8)) for n in columns}
    contract = Contract.union(signature)
    table = pa.table(names | columns | present).replace_schema_metadata({"contract": contract.to_json()})
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(files):
        part = table.slice(n * rows // files, rows // files)
        pq.write_table(part, folder / f"part-{n}.parquet", row_group_size=700)
    (folder / "_temporary.parquet").write_bytes(b"not finished")
    return folder


@pytest.fixture(scope="session")
def signature() -> Signature:
    return make_signature()


@pytest.fixture(scope="session")
def training_set(tmp_path_factory: pytest.TempPathFactory, signature: Signature) -> Path:
    return write_training_set(tmp_path_factory.mktemp("training") / "set", signature)


@pytest.fixture(scope="session")
def generate() -> Callable[..., Signature]:
    return make_signature


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    return write_training_set
