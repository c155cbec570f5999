"""Models that no deploy would let through, put before the servers by hand, past `adfeast model deploy`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from adfeast.contract.model_names import OUTPUT, SIGNATURE_PARAMETER, triton_model
from adfeast.contract.signature import TENSORS, Signature
from drills.stage import Deployed
from registry import versions
from registry.triton import Triton

FOLLOWED_S = 3.0  # servers look every second which model is production
# Asks nobody: what it answers depends on nothing but the number of rows.
MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = len(pb_utils.get_input_tensor_by_name(request, {tensor!r}).as_numpy())
        scores = np.full((rows, 1), {score}, np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor({output!r}, scores)])
"""


@contextmanager
def in_production(on: Deployed, like: str, version: int, *, score: str, signature_hash: str = "") -> Iterator[str]:
    """Makes a model production that answers the same for every row, until the block ends; gives its name in Triton.

    Args:
        like: the model that serves: its inputs and everything else are taken, and it serves again afterwards.
        score: a Python expression.
        signature_hash: that the model claims to be made for; empty: the true one.
    """
    name, repository, triton = triton_model(version), on.settings.triton_repository, Triton(on.settings)
    folder, aside = repository / name, repository.with_name(f"{name}.aside")
    shutil.copytree(repository / like, aside)
    signature = Signature.from_json((aside / "1" / "signature.json").read_text())
    tensor = next(t for role, t in TENSORS.items() if signature.width(role))
    (aside / "1" / "model.py").write_text(MODEL.format(tensor=tensor, score=score, output=OUTPUT).lstrip())
    if signature_hash:
        config = (aside / "config.pbtxt").read_text()
        assert signature.hash in config, f"{SIGNATURE_PARAMETER} stands in the config"
        (aside / "config.pbtxt").write_text(config.replace(signature.hash, signature_hash))
    aside.rename(folder)
    try:
        triton.load(name)
        versions.set_production(on.settings, name, lambda: None)
        yield name
    finally:
        versions.set_production(on.settings, like, lambda: None)
        time.sleep(FOLLOWED_S)
        triton.unload(name)
        shutil.rmtree(folder)
