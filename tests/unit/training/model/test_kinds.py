from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from adfeast.contract.ids import MISSING_ID, hash_id
from adfeast.contract.signature import Signature
from adfeast.contract.snapshots import Tensors
from training.export.flavours import random_rows
from training.model import lbfgs
from training.model.core import Core, Served, predict, to_torch
from training.model.dataset import Part, TrainingSet
from training.model.errors import ModelError
from training.model.head import Head
from training.model.inputs import tell_missing
from training.model.kinds.dcnv2 import dcnv2
from training.model.kinds.dlrm import dlrm
from training.model.kinds.logistic import logistic, penalty
from training.model.prep import LIMIT, LOG_LIMIT, MISSING_NUMBER, PRIME, Prep, mix

SIZES = {"dim": 8, "dense_layers": (16,), "over_layers": (16,), "projection": 4}
CROSS = {"layers": 2, "rank": 4}


def tensors(signature: Signature, count: int = 8, seed: int = 0) -> Tensors:
    return random_rows(signature, count, seed)


def prep(signature: Signature, rows: Tensors) -> tuple[torch.Tensor, ...]:
    return Prep(signature)(*to_torch(rows))  # type: ignore[no-any-return]


def test_buckets_are_those_of_exact_integers_for_ids_of_any_sign() -> None:
    extreme = [0, 1, -1, -2, PRIME, 2**60 - 1, -(2**63), 2**63 - 1, hash_id("x")]
    ids = extreme + np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 1000).tolist()
    found = mix(torch.tensor(ids), torch.tensor(97)).tolist()
    assert found == [i % PRIME * 1_327_217_885 % PRIME % 97 for i in ids]  # Python's integers do not overflow
    assert min(found) == 0
    assert max(found) == 96


@pytest.mark.parametrize("step", [1, 64, 1000, 1024])
def test_patterned_ids_use_nearly_all_buckets(step: int) -> None:
    rows = mix(torch.arange(8192) * step, torch.tensor(1024))
    assert len(rows.unique()) > 0.85 * 1024


def test_a_missing_id_has_a_bucket_of_its_own(generate: Callable[..., Signature]) -> None:
    signature = generate()
    rows = tensors(signature, 5000)
    rows.ids[0] = MISSING_ID
    _, _, buckets, _, _ = prep(signature, rows)
    sizes = torch.tensor([i.hash_size for i in signature.role("sparse")])
    assert torch.equal(buckets == sizes, torch.from_numpy(rows.ids) == MISSING_ID)
    assert ((buckets >= 0) & (buckets <= sizes)).all()


def test_dense_values_are_logged_standardised_and_clamped(generate: Callable[..., Signature]) -> None:
    signature = generate(dense=4)
    random = np.random.default_rng(0)
    rows = replace(tensors(signature, 1000), dense=random.poisson(20, (1000, 4)).astype(np.float32))
    fitted = Prep(signature)
    fitted.fit([rows])
    arguments = list(to_torch(rows))
    numbers = fitted(*arguments)[0].numpy()[:, :4]
    np.testing.assert_allclose(numbers.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(numbers.std(0), 1, atol=1e-4)
    assert {i.transform for i in signature.role("dense")} == {"log1p", "none"}
    for n, i in enumerate(signature.role("dense")):
        raw = np.log1p(rows.dense[:, n]) if i.transform == "log1p" else rows.dense[:, n]
        np.testing.assert_allclose(numbers[:, n], (raw - raw.mean()) / raw.std(), atol=1e-4)
    arguments[0] = torch.full((1000, 4), 3e38)
    assert fitted(*arguments)[0].max(0).values[:4].tolist() == [
        LOG_LIMIT if i.transform == "log1p" else LIMIT for i in signature.role("dense")
    ]


@pytest.mark.parametrize("share", [0.0002, 0.005, 0.3])
def test_rare_counts_keep_their_order_of_magnitude(generate: Callable[..., Signature], share: float) -> None:
    signature = generate(dense=2, sparse=0, lists=0, embeddings=0)
    random = np.random.default_rng(0)
    counts = np.where(random.random((20_000, 2)) < share, random.choice([1, 3, 20, 200], (20_000, 2)), 0)
    rows = Tensors(counts.astype(np.float32), *(np.zeros((20_000, 0), t) for t in (np.int64, np.int64, np.float32)))
    fitted = Prep(signature)
    fitted.fit([rows])
    asked = np.repeat(np.array([[0], [1], [3], [20], [200]], np.float32), 2, axis=1)
    numbers = fitted(*(torch.from_numpy(a) for a in (asked, *(np.zeros((5, 0)),) * 3)))[0].numpy()
    log, plain = (numbers[:, [i.transform for i in signature.role("dense")].index(t)] for t in ("log1p", "none"))
    assert (np.diff(log) > 0.1).all()
    assert log.max() < 4
    assert (np.diff(plain) > 0.001).all()


def test_what_is_missing_is_told_and_says_nothing_of_the_values_that_are_known(
    generate: Callable[..., Signature],
) -> None:
    plain = generate(dense=2, sparse=0, lists=2, embeddings=2)
    rows = tensors(plain, 400)
    rows = replace(rows, dense=np.random.default_rng(0).poisson(20, rows.dense.shape).astype(np.float32))
    rows.embeddings[:] = np.where(np.abs(rows.embeddings) < 1e3, rows.embeddings, 1.0)
    rows.embeddings[5], rows.lists[6] = 0, MISSING_ID
    told = tell_missing(plain)
    blank = replace(rows, dense=np.concatenate([rows.dense, np.full_like(rows.dense, MISSING_NUMBER)]))
    twice = [np.concatenate([a, a]) for a in (rows.ids, rows.lists, rows.embeddings)]
    blank = Tensors(blank.dense, *twice)
    before, after = Prep(plain), Prep(told)
    before.fit([rows])
    after.fit([blank])
    assert after.dense_inputs == before.dense_inputs + 2 == 2 + 2 + 4
    torch.testing.assert_close(after.mean, before.mean)
    torch.testing.assert_close(after.inverse_scale, before.inverse_scale)
    numbers = after(*to_torch(blank))[0]
    assert (numbers[400:, :2] == 0).all()
    assert (numbers[:, 2:4] == (torch.arange(800) >= 400).float()[:, None]).all()
    torch.testing.assert_close(numbers[:400, :2], before(*to_torch(rows))[0][:, :2])
    absent = numbers[:400, 4:]
    assert absent[5, :2].tolist() == [1, 1]
    assert absent[6, 2:].tolist() == [1, 1]
    assert (absent[:, :2].sum(0) < 40).all()


@pytest.mark.parametrize("kind", [dlrm, partial(dcnv2, **CROSS), logistic])
def test_a_told_model_answers_alike_in_both_forms(
    generate: Callable[..., Signature], kind: Callable[..., Core]
) -> None:
    signature = tell_missing(generate())
    rows = tensors(signature, 2000)
    assert (rows.dense == MISSING_NUMBER).any()
    core = kind(signature, 0.1, **({} if kind is logistic else SIZES))
    core.prep.fit([rows])
    if kind is logistic:
        torch.nn.init.normal_(core.over_arch.linear.weight, std=0.1)
    served = Served(core, Head()).eval()
    np.testing.assert_allclose(predict(served.flat(), rows), predict(served, rows), atol=1e-6)


def test_a_list_is_the_mean_of_its_ids_and_an_empty_one_is_zero(generate: Callable[..., Signature]) -> None:
    signature = generate(lists=2)
    core = dlrm(signature, 0.1, **SIZES).eval()
    rows = tensors(signature, 6)
    rows.lists[0] = -1
    rows.lists[1] = -1
    rows.lists[1, [0, 2]] = [5, -7]
    _, _, ids, lists, held = prep(signature, rows)
    vectors = core.embed(ids, lists, held, ids.float())
    place = len(signature.role("sparse"))
    assert (vectors[0, place:] == 0).all()
    table = core.embed.weights()[place]
    torch.testing.assert_close(vectors[1, place], (table[lists[1, 0]] + table[lists[1, 2]]) / 2)


@pytest.mark.parametrize(
    "shape", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (2, 3, 2, 2), (0, 2, 1, 0), (3, 0, 0, 1)]
)
def test_any_service_makes_every_kind(generate: Callable[..., Signature], shape: tuple[int, ...]) -> None:
    signature = generate(*shape)
    rows = tensors(signature, 50)
    kinds = dlrm(signature, 0.01, **SIZES), dcnv2(signature, 0.01, **SIZES, **CROSS), logistic(signature, 0.01)
    for core in kinds:
        served = Served(core, Head()).eval()
        p = predict(served, rows)
        assert p.shape == (50,)
        assert ((p > 0) & (p < 1)).all()
        np.testing.assert_allclose(predict(served.flat(), rows), p, atol=1e-6)
    np.testing.assert_allclose(p, 0.01, rtol=1e-4)  # a regression that is not fitted answers the base rate


def test_an_unknown_transform_is_refused_by_the_inputs_name(generate: Callable[..., Signature]) -> None:
    signature = generate(dense=1, sparse=0, lists=0, embeddings=0)
    odd = replace(signature, inputs=(replace(signature.inputs[0], transform="sqrt"),))
    with pytest.raises(ModelError, match=f"{odd.inputs[0].name}.*sqrt"):
        Prep(odd)


def test_logistic_regression_converges_to_sklearns(training_set: Path, signature: Signature) -> None:
    data = TrainingSet(training_set, signature)
    batch = data.read(Part.TRAIN)
    core = logistic(data.signature, 0.1)
    core.prep.fit([batch.tensors])
    half = len(batch.label) // 2
    parts = [batch.take(np.arange(half)), batch.take(np.arange(half, len(batch.label)))]
    fitted = lbfgs.fit(core, parts, penalty, ridge=2.0)
    assert fitted["gradient"] < 1e-2
    numbers, scaled, ids, lists, held = core.prep(*to_torch(batch.tensors))
    columns = [numbers.numpy(), scaled.numpy()]
    columns += [np.eye(i.hash_size + 1)[ids[:, n]] for n, i in enumerate(data.signature.role("sparse"))]
    begin = 0
    for i in data.signature.role("list"):
        mask = held[:, begin : begin + i.width].numpy()
        hot = np.eye(i.hash_size)[lists[:, begin : begin + i.width]] * mask[:, :, None]
        columns.append(hot.sum(1) / np.maximum(mask.sum(1, keepdims=True), 1))
        begin += i.width
    matrix = np.concatenate(columns, axis=1)
    oracle = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(matrix, batch.label)
    np.testing.assert_allclose(
        predict(Served(core, Head()), batch.tensors), oracle.predict_proba(matrix)[:, 1], atol=2e-4
    )
