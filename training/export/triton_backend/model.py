"""Answers batches of candidates inside Triton's Python backend, in every flavour.

Runs in Triton's environment, next to `model.onnx` or `model.pt` and `signature.json`. Requests of one dynamic batch are
answered together, so each is checked first and a wrong one is answered with an error alone; a row that holds NaN or
infinity answers NaN alone.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

Tensors = dict[str, Any]
DTYPES: dict[str, Any] = {"dense": np.float32, "ids": np.int64, "lists": np.int64, "embeddings": np.float32}
ROLES = {"dense": "dense", "sparse": "ids", "list": "lists", "embedding": "embeddings"}
OUTPUT, SIGNATURE = "probability", "signature_hash"


def onnx_runner(path: Path) -> tuple[Callable[[Tensors], Any], str]:
    """Runs the ONNX graph on one thread: the same bits in any batch, and no pool that fights Triton's."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    stored = session.get_modelmeta().custom_metadata_map[SIGNATURE]
    return lambda tensors: session.run([OUTPUT], {n: tensors[n] for n in names})[0], stored


def torch_runner(path: Path) -> tuple[Callable[[Tensors], Any], str]:
    """Runs the TorchScript module; fbgemm_gpu registers the operators of quantized tables."""
    import fbgemm_gpu  # noqa: F401
    import torch

    torch.set_num_threads(1)
    extra = {SIGNATURE: ""}
    module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra).eval()

    def run(tensors: Tensors) -> Any:
        with torch.inference_mode():
            return module(*(torch.from_numpy(tensors[n]) for n in DTYPES)).numpy()

    stored: Any = extra[SIGNATURE]
    return run, stored.decode() if isinstance(stored, bytes) else stored


class TritonPythonModel:
    """The interface Triton's Python backend expects."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model and refuses one whose three statements of its signature differ."""
        folder = Path(args["model_repository"]) / args["model_version"]
        parameters = json.loads(args["model_config"])["parameters"]
        self.signature_hash = parameters[SIGNATURE]["string_value"]
        text = (folder / "signature.json").read_text()
        onnx = folder / "model.onnx"
        self.run, stored = onnx_runner(onnx) if onnx.exists() else torch_runner(folder / "model.pt")
        for where, found in (("signature.json", hashlib.sha256(text.encode()).hexdigest()), ("the model file", stored)):
            if found != self.signature_hash:
                raise pb_utils.TritonModelException(
                    f"SignatureMismatch: config.pbtxt says {self.signature_hash}, {where} says {found}"
                )
        self.widths = dict.fromkeys(DTYPES, 0)
        for i in json.loads(text)["inputs"]:
            self.widths[ROLES[i["role"]]] += i["width"]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer a request, in their order."""
        responses: list[Any] = [None] * len(requests)
        batch: list[tuple[int, Tensors, Any]] = []
        for n, request in enumerate(requests):
            try:
                batch.append((n, *self._read(request)))
            except ValueError as error:
                responses[n] = pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        if batch:
            together = {
                name: batch[0][1][name] if len(batch) == 1 else np.concatenate([t[name] for _, t, _ in batch])
                for name in DTYPES
            }
            probability, begin = self.run(together), 0
            for n, tensors, bad in batch:
                rows = len(tensors["dense"])
                own = np.array(probability[begin : begin + rows], np.float32).reshape(rows, 1)
                own[bad] = np.nan
                begin += rows
                responses[n] = pb_utils.InferenceResponse([pb_utils.Tensor(OUTPUT, own)])
        return responses

    def _read(self, request: Any) -> tuple[Tensors, Any]:
        """The tensors of a request with bad rows made harmless, and which rows are bad."""
        asked = json.loads(request.parameters() or "{}").get(SIGNATURE)
        if asked != self.signature_hash:
            raise ValueError(
                f"SignatureMismatch: this model has signature {self.signature_hash}, the request has {asked}"
            )
        tensors: Tensors = {}
        rows = -1
        for name, width in self.widths.items():
            if not width:
                continue
            found = pb_utils.get_input_tensor_by_name(request, name)
            if found is None:
                raise ValueError(f"InvalidInput: tensor {name!r} is missing")
            array = found.as_numpy()
            rows = len(array) if rows < 0 else rows
            if array.dtype != DTYPES[name] or array.shape != (rows, width):
                raise ValueError(
                    f"InvalidInput: tensor {name!r} must be {DTYPES[name].__name__} [{rows}, {width}], "
                    f"got {array.dtype} {list(array.shape)}"
                )
            tensors[name] = array
        bad: Any = np.zeros(rows, bool)
        for name in ("dense", "embeddings"):
            if name in tensors:
                bad |= ~np.isfinite(tensors[name]).all(axis=1)
        if bad.any():
            tensors = {name: np.where(bad[:, None], array.dtype.type(0), array) for name, array in tensors.items()}
        return {n: tensors.get(n, np.zeros((rows, 0), DTYPES[n])) for n in DTYPES}, bad
