"""One served module to all its flavours, checked against itself, in one folder: the artifact.

    artifact/
      model_repository/<flavour>/config.pbtxt, 1/model.py, 1/signature.json, 1/model.onnx or 1/model.pt
      signature.json     Signature.to_json(); its hash is the model's
      metrics.json       kind of the model shipped, per kind the metrics of `training.model.evaluate`, and the verdict
                         of `training.model.incumbent`
      evaluation.json    for a report: reliability curves, splits, calibration, configuration, seeds
      export.json        per flavour: bytes, and the largest `logit_change` against the eager module over `rows`
      probe.npz          a few rows with the probability the eager module gives them, to prove a deployed model
      base_rates.npz     the click rates of the ads it learnt from, and of all of them, for when it cannot be asked

A flavour folder is a whole Triton model but for its name, which Triton takes from the folder it is deployed under.
Nothing is pickled. `registry/` reads these files and nothing else.
"""

from __future__ import annotations

import copy
import io
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adfeast.contract import base_rates
from adfeast.contract.base_rates import BaseRates
from adfeast.contract.model_names import INPUTS_PARAMETER, OUTPUT, PRIOR_PARAMETER, SIGNATURE_PARAMETER
from adfeast.contract.signature import TENSORS, Signature
from adfeast.contract.tensors import Tensors
from training.model.core import Served, predict, to_torch
from training.model.errors import ExportMismatch, ModelError

MODEL_SOURCE = Path(__file__).parent / "triton_backend" / "model.py"
MAX_BATCH = 8192
CHECK_ROWS = 10_000
PROBE_ROWS = 64
# Largest `logit_change` against the eager module that a flavour may show, on rows more extreme than real ones. Single
# precision: ONNX Runtime's sigmoid is off by up to 3e-7, which is 3e-4 at the floor. Tables of int8: 5 % of a small
# probability, about what 400 clicks leave uncertain of a rate; 1 to 2 % were measured.
TOLERANCE = {"torchrec_fp32": 1e-3, "torchrec_int8": 0.05, "onnx": 1e-3}
FLOOR = 1e-3  # odds below this count as this: there single precision, not the model, sets the relative change
_TRITON_TYPES = {"dense": "TYPE_FP32", "ids": "TYPE_INT64", "lists": "TYPE_INT64", "embeddings": "TYPE_FP32"}


def export(model: Served, signature: Signature, out: Path, *, rates: BaseRates, seed: int = 0) -> dict[str, Any]:
    """Writes model_repository/, signature.json, export.json, probe.npz and base_rates.npz into `out`.

    Returns:
        What export.json holds.

    Raises:
        ExportMismatch: a flavour differs from the eager module by more than its tolerance; export.json names all.
    """
    model = model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    rows = random_rows(signature, CHECK_ROWS, seed)
    expected = predict(model, rows)
    out.mkdir(parents=True, exist_ok=True)
    (out / "signature.json").write_text(signature.to_json())
    (out / base_rates.FILE).write_bytes(rates.to_bytes())
    report: dict[str, Any] = {}
    for flavour, (file, make, run) in FLAVOURS.items():
        folder = out / "model_repository" / flavour
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text(config(signature, flavour, rates.prior))
        (folder / "1" / "signature.json").write_text(signature.to_json())
        shutil.copyfile(MODEL_SOURCE, folder / "1" / "model.py")
        path = folder / "1" / file
        make(model, signature, path)
        change = float(logit_change(run(path, rows), expected).max())
        report[flavour] = {
            "max_logit_change": change,
            "tolerance": TOLERANCE[flavour],
            "rows": CHECK_ROWS,
            "bytes": path.stat().st_size,
        }
    (out / "export.json").write_text(json.dumps(report, indent=1))
    if wrong := [f for f, r in report.items() if not r["max_logit_change"] <= r["tolerance"]]:
        raise ExportMismatch(
            "; ".join(
                f"flavour {f!r} differs from the eager model by {report[f]['max_logit_change']:.3g} in the logit, "
                f"allowed is {report[f]['tolerance']:.3g}"
                for f in wrong
            )
        )
    few = {name: getattr(rows, name)[:PROBE_ROWS] for name in TENSORS.values()}
    np.savez(out / "probe.npz", **few, **{OUTPUT: expected[:PROBE_ROWS].astype(np.float32)})
    return report


def logit_change(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """Change in log odds, to first order, of probabilities [N]: for a rare click its relative change.

    An absolute change says nothing there: 0.002 is two fifths of a click rate of 0.5 %.
    """
    p = np.asarray(expected, np.float64)
    return np.abs(np.asarray(found, np.float64) - p) / np.maximum(p * (1 - p), FLOOR)


def config(signature: Signature, flavour: str, prior: float) -> str:
    """Triton's config.pbtxt without a name; `prior` is the click rate of all that the model learnt from."""
    widths = {TENSORS[role]: signature.width(role) for role in TENSORS}
    inputs = ",\n".join(
        f'  {{ name: "{name}" data_type: {_TRITON_TYPES[name]} dims: [ {width} ] }}'
        for name, width in widths.items()
        if width
    )
    parameters = {
        SIGNATURE_PARAMETER: signature.hash,
        INPUTS_PARAMETER: signature.to_json(),
        PRIOR_PARAMETER: repr(float(prior)),
        "flavour": flavour,
        "feature_service": signature.service,
    }
    return "\n".join(
        [
            'backend: "python"',
            f"max_batch_size: {MAX_BATCH}",
            f"input [\n{inputs}\n]",
            f'output [ {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [ 1 ] }} ]',
            "instance_group [ { kind: KIND_CPU count: 1 } ]",
            # Batches form by themselves under load. No default_queue_policy: it stalls about 1 % of the requests.
            "dynamic_batching { max_queue_delay_microseconds: 0 }",
            *(f'parameters {{ key: "{k}" value {{ string_value: {quoted(v)} }} }}' for k, v in parameters.items()),
            "",
        ]
    )


def quoted(text: str) -> str:
    """A string of a protobuf text file; its escapes of quotes and backslashes are those of JSON.

    Raises:
        ModelError: it holds a character that Triton would read otherwise.
    """
    if not text.isascii() or not text.isprintable():
        raise ModelError(f"{text!r} cannot stand in a Triton configuration: use printable ASCII characters")
    return json.dumps(text)


def random_rows(signature: Signature, count: int, seed: int) -> Tensors:
    """Rows of every sort: negative, missing and extreme ids, empty and full lists, huge, negative and zero numbers."""
    random = np.random.default_rng(seed)

    def ids(width: int) -> NDArray[np.int64]:
        any_id = random.integers(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (count, width), endpoint=True)
        small = random.integers(-50, 50, (count, width))
        edge = random.choice(
            np.array([-1, 0, 2**31 - 1, 2**60, np.iinfo(np.int64).min, np.iinfo(np.int64).max]), (count, width)
        )
        return np.choose(random.integers(0, 3, (count, width)), [any_id, small, edge])

    def numbers(width: int) -> NDArray[np.float32]:
        usual = random.lognormal(0, 2, (count, width)) * random.choice([-1, 1], (count, width))
        huge = random.choice(np.array([0.0, -1.0, 1e9, -1e9, 3e38, -3e38, 1e-30]), (count, width))
        return np.where(random.random((count, width)) < 0.9, usual, huge).astype(np.float32)

    lists = ids(signature.width("list"))
    lists[random.random(lists.shape) < 0.5] = -1
    lists[: count // 20] = -1
    dense, embeddings = numbers(signature.width("dense")), numbers(signature.width("embedding"))
    embeddings[: count // 20] = 0
    defaults = np.array([i.default for i in signature.role("dense")], np.float32)
    dense = np.where(random.random(dense.shape) < 0.1, defaults, dense)
    return Tensors(dense=dense, ids=ids(signature.width("sparse")), lists=lists, embeddings=embeddings)


def _onnx(model: Served, signature: Signature, path: Path) -> None:
    import onnx

    names = list(TENSORS.values())
    arguments = to_torch(random_rows(signature, 64, 1))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the tracing exporter is the one whose int64 arithmetic is right; it is deprecated
        torch.onnx.export(
            model.flat(),
            arguments,
            buffer,
            dynamo=False,
            opset_version=17,
            input_names=names,
            output_names=[OUTPUT],
            dynamic_axes={name: {0: "rows"} for name in [*names, OUTPUT]},
        )
    graph = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(graph, {SIGNATURE_PARAMETER: signature.hash})
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def run_onnx(path: Path, rows: Tensors) -> NDArray[np.float64]:
    """The probabilities [B] that an exported graph gives."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {i.name: getattr(rows, i.name) for i in session.get_inputs()}
    return session.run([OUTPUT], feed)[0].astype(np.float64).reshape(-1)  # type: ignore[no-any-return]


def _torchrec(model: Served, signature: Signature, path: Path) -> None:
    from torchrec.fx import Tracer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copied = copy.deepcopy(model)  # a traced module cannot be called eagerly any more
        tracer = Tracer(leaf_modules=["IntNBitTableBatchedEmbeddingBagsCodegen", "ComputeJTDictToKJT"])
        scripted = torch.jit.script(torch.fx.GraphModule(copied, tracer.trace(copied)))
        torch.jit.save(scripted, str(path), _extra_files={SIGNATURE_PARAMETER: signature.hash})


def _torchrec_int8(model: Served, signature: Signature, path: Path) -> None:
    from torchrec.inference.modules import quantize_embeddings

    copied = copy.deepcopy(model)
    _torchrec(quantize_embeddings(copied, dtype=torch.qint8, inplace=True), signature, path)


def _run_torch(path: Path, rows: Tensors) -> NDArray[np.float64]:
    return predict(torch.jit.load(str(path)), rows)  # type: ignore[no-any-return]


_Make = Callable[[Served, Signature, Path], None]
_Run = Callable[[Path, Tensors], NDArray[np.float64]]
FLAVOURS: dict[str, tuple[str, _Make, _Run]] = {
    "onnx": ("model.onnx", _onnx, run_onnx),
    "torchrec_fp32": ("model.pt", _torchrec, _run_torch),
    "torchrec_int8": ("model.pt", _torchrec_int8, _run_torch),
}
