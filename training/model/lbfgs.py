"""Fits a convex core to convergence by L-BFGS on the whole training split."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from training.model.core import Core, to_torch
from training.model.dataset import Batch
from training.model.errors import TrainingDiverged

log = logging.getLogger(__name__)
# The gradient, in clicks, at which a fit has converged. A hundred thousandth of all clicks says nothing: what stands
# for n of them is uncertain by the square root of n.
CONVERGED, CONVERGED_SHARE = 1e-4, 1e-5


def fit(
    core: Core, batches: Sequence[Batch], penalty: Callable[[Core], Tensor], ridge: float, steps: int = 300
) -> dict[str, float]:
    """Minimises summed log loss + ridge * penalty; gradients are summed over `batches`, so memory is that of one.

    Returns:
        `steps` taken, `loss` at the end and the largest `gradient`, which says how converged it is.

    Raises:
        TrainingDiverged: the loss of a batch is not finite.
    """
    core.double()  # single precision stalls the line search long before the optimum
    clicks = sum(float(batch.weight @ batch.label) for batch in batches)
    parameters = [p for p in core.parameters() if p.requires_grad]
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=steps,
        history_size=20,
        tolerance_grad=max(CONVERGED, CONVERGED_SHARE * clicks),
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    evaluations = 0

    def closure() -> float:
        nonlocal evaluations
        evaluations += 1
        optimizer.zero_grad()
        loss = ridge * penalty(core)
        loss.backward()
        total = float(loss.detach())
        for n, batch in enumerate(batches, 1):
            logit = core(*to_torch(batch.tensors)).reshape(-1).double()
            losses = nn.functional.binary_cross_entropy_with_logits(
                logit,
                torch.from_numpy(batch.label).double(),
                weight=torch.from_numpy(batch.weight).double(),
                reduction="sum",
            )
            if not math.isfinite(summed := float(losses.detach())):
                raise TrainingDiverged("logistic regression", evaluations, n, summed)
            losses.backward()
            total += summed
        return total

    optimizer.step(closure)
    loss = closure()
    gradient = max(float(p.grad.abs().max()) for p in parameters if p.grad is not None and p.numel())
    core.float()
    core.zero_grad()
    taken = int(optimizer.state[parameters[0]]["n_iter"])
    if taken >= steps:
        log.warning("logistic regression stopped after %d steps with a gradient of %.2g", taken, gradient)
    return {"steps": taken, "loss": loss, "gradient": gradient}
