"""Rows of token ids in batches: what is in a batch, the logits of each row as by itself, and memory that runs out."""

import types
import weakref

import numpy as np
import pytest
import torch
import transformers

from trusteq.models.forward import Rows, batches, logits

CPU = {"budget": 4096, "spare": 100}


def cut(lengths, **options):
    """The batches of sorted lengths, as lists of lengths."""
    return [list(map(int, lengths[batch])) for batch in batches(np.asarray(lengths), **options)]


# --- batches ---


@pytest.mark.parametrize("budget", [1, 10, 64, 1000, 10**6])
@pytest.mark.parametrize("spare", [0, 1, 30, 500, 10**6])
def test_every_row_once_in_order_and_within_the_budget(budget, spare):
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 10, 200):
        lengths = np.sort(rng.integers(1, rng.integers(2, 60), size=n))
        slices = list(batches(lengths, budget=budget, spare=spare))
        assert [row for batch in slices for row in range(batch.start, batch.stop)] == list(range(n))
        for batch in slices:
            rows = lengths[batch]
            assert len(rows) >= 1
            assert len(rows) == 1 or len(rows) * rows[-1] <= budget
            assert len(rows) * rows[-1] - rows.sum() <= spare


def test_large_groups_of_one_length_are_never_padded():
    lengths = np.repeat([5, 6, 9, 30], 200)
    for batch in batches(lengths, **CPU):
        assert len(set(lengths[batch])) == 1


def test_small_groups_are_put_together():
    assert cut([2, 3, 4, 5], **CPU) == [[2, 3, 4, 5]]
    assert cut([2, 3, 4, 5], budget=4096, spare=0) == [[2], [3], [4], [5]]
    # One row of 2 among threes is one token of padding; among fours it and the threes are four.
    assert cut([2, 3, 3, 4, 4], budget=4096, spare=1) == [[2, 3, 3], [4, 4]]
    assert cut([2, 3, 3, 4, 4], budget=4096, spare=3) == [[2, 3, 3], [4, 4]]
    assert cut([2, 3, 3, 4, 4], budget=4096, spare=4) == [[2, 3, 3, 4, 4]]
    # Nor does saving a call let a batch go over its budget.
    assert cut([2, 3, 3, 4, 4], budget=9, spare=100) == [[2, 3, 3], [4, 4]]


def test_groups_larger_than_the_budget_are_split():
    assert cut([4] * 7, budget=12, spare=0) == [[4] * 3, [4] * 3, [4]]
    assert cut([4] * 7, budget=3, spare=0) == [[4]] * 7
    assert cut([], **CPU) == []


def test_a_batch_has_no_more_rows_than_the_kernels_of_a_gpu_can_number():
    sizes = [len(rows) for rows in cut([1] * 70_000 + [2] * 10, budget=1 << 17, spare=0)]
    assert sizes == [1 << 15, 1 << 15, 70_000 - (1 << 16), 10]


# --- logits ---

SIZES = {"vocab_size": 50, "initializer_range": 0.5, "num_labels": 3}


@pytest.fixture(scope="module")
def bert():
    """In double precision: what is left of a difference is not rounding."""
    torch.set_num_threads(1)
    config = transformers.BertConfig(
        **SIZES, hidden_size=16, num_attention_heads=2, intermediate_size=32, num_hidden_layers=2
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.BertForSequenceClassification(config).eval().double()


@pytest.fixture(scope="module")
def distilbert():
    config = transformers.DistilBertConfig(**SIZES, dim=16, n_heads=2, hidden_dim=32, n_layers=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.DistilBertForSequenceClassification(config).eval().double()


def random_rows(rng, n, *, longest=30, with_types=True):
    """Rows of random tokens; beyond its length, a row holds anything."""
    ids, lengths = rng.integers(1, 50, size=(n, longest)), rng.integers(2, longest + 1, size=n)
    segments = (np.arange(longest) >= rng.integers(1, longest, size=(n, 1))).astype(np.int64)
    return Rows(ids, lengths, segments if with_types else None)


def one_by_one(model, rows):
    """The logits of each row alone, by the model itself."""
    found = []
    for row, length in enumerate(rows.lengths):
        inputs = {"input_ids": torch.tensor(rows.ids[[row], :length])}
        if rows.types is not None:
            inputs["token_type_ids"] = torch.tensor(rows.types[[row], :length])
        with torch.inference_mode():
            found.append(model(**inputs).logits.numpy()[0])
    return np.stack(found)


@pytest.mark.parametrize("budget", [None, 1, 40, 200])
@pytest.mark.parametrize("with_types", [True, False])
def test_logits_are_those_of_each_row_alone(bert, with_types, budget):
    rows = random_rows(np.random.default_rng(0), 80, with_types=with_types)
    (found,) = logits(bert, [rows], budget=budget)
    assert (found.dtype, found.shape) == (np.float64, (80, 3))
    np.testing.assert_allclose(found, one_by_one(bert, rows), rtol=0, atol=1e-9)
    assert found.std(axis=0).min() > 0.1


def test_a_model_without_token_types(distilbert):
    rows = random_rows(np.random.default_rng(0), 80, with_types=False)
    (found,) = logits(distilbert, [rows], budget=200)
    np.testing.assert_allclose(found, one_by_one(distilbert, rows), rtol=0, atol=1e-9)
    assert found.std(axis=0).min() > 0.1


@pytest.mark.parametrize("with_types", [True, False])
def test_blocks_of_different_widths_share_batches_and_come_back_apart(bert, with_types):
    rng = np.random.default_rng(0)
    blocks = [random_rows(rng, n, longest=longest, with_types=with_types) for n, longest in ((5, 9), (1, 30), (12, 4))]
    found = logits(bert, blocks)
    assert [len(block) for block in found] == [5, 1, 12]
    for block, values in zip(blocks, found, strict=True):
        np.testing.assert_allclose(values, one_by_one(bert, block), rtol=0, atol=1e-9)


def test_what_pads_a_row_does_not_matter(bert):
    rows = random_rows(np.random.default_rng(0), 40)
    absent = np.arange(30) >= rows.lengths[:, None]
    other = Rows(np.where(absent, 10**9, rows.ids), rows.lengths, np.where(absent, 7, rows.types))
    np.testing.assert_array_equal(logits(bert, [other])[0], logits(bert, [rows])[0])
    np.testing.assert_allclose(logits(bert, [rows], padding=33)[0], logits(bert, [rows])[0], rtol=0, atol=1e-9)


def test_rows_are_left_alone(bert):
    rows = random_rows(np.random.default_rng(0), 40)
    before = [values.copy() for values in (rows.ids, rows.lengths, rows.types)]
    logits(bert, [rows], padding=33)
    for values, expected in zip((rows.ids, rows.lengths, rows.types), before, strict=True):
        np.testing.assert_array_equal(values, expected)


def test_a_decoder_is_asked_to_keep_nothing():
    """What it keeps of a text for the next word takes more memory than all else, and there is no next word."""
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(**SIZES, **shape, pad_token_id=0)
    model, kept = transformers.LlamaForSequenceClassification(config).eval().double(), []
    model.model.register_forward_hook(lambda *call: kept.append(call[-1].past_key_values))
    rows = random_rows(np.random.default_rng(0), 20, with_types=False)
    (found,) = logits(model, [rows])
    assert set(kept) == {None}
    np.testing.assert_allclose(found, one_by_one(model, rows), rtol=0, atol=1e-9)


# --- memory that runs out ---


class Small:
    """A model without room for more than so many tokens, padding included; its logits are sums over those of a row."""

    device, config = torch.device("cpu"), types.SimpleNamespace(num_hidden_layers=1, hidden_size=4)

    def __init__(self, room):
        self.room, self.shapes = room, []

    def __call__(self, input_ids, attention_mask=None):
        if input_ids.numel() > self.room:
            raise torch.OutOfMemoryError("out of memory")
        self.shapes.append(tuple(input_ids.shape))
        kept = input_ids if attention_mask is None else input_ids * attention_mask
        return types.SimpleNamespace(logits=torch.stack([kept.sum(1), (kept**2).sum(1)], dim=1).float())


def by_hand(rows):
    kept = np.where(np.arange(rows.ids.shape[1]) < rows.lengths[:, None], rows.ids, 0)
    return np.column_stack([kept.sum(axis=1), (kept**2).sum(axis=1)]).astype(float)


@pytest.mark.parametrize("room", [30, 31, 45, 64, 100, 500, 10**6])
def test_out_of_memory_halves_the_batch_and_goes_on(room):
    rows, model = random_rows(np.random.default_rng(0), 300, with_types=False), Small(room)
    (found,) = logits(model, [rows], budget=2048)
    np.testing.assert_array_equal(found, by_hand(rows))
    # Nothing is computed twice, and batches stay as large as the room lets them.
    assert sum(n for n, _ in model.shapes) == 300
    assert max(n * length for n, length in model.shapes) > min(room, 600) / 4


def test_out_of_memory_in_the_midst_keeps_what_is_done():
    """Short rows fit in large batches, long ones do not."""
    lengths = np.repeat([2, 30], [100, 10])
    rows, model = Rows(np.ones((110, 30), dtype=np.int64), lengths), Small(200)
    (found,) = logits(model, [rows], budget=300)
    np.testing.assert_array_equal(found, by_hand(rows))
    assert model.shapes == [(100, 2), *[(5, 30)] * 2]


def test_what_did_not_fit_is_let_go_before_memory_is_made_free(monkeypatch):
    """While an error is handled, its traceback holds on to what the failed batch had made."""
    made, gone = [], []

    class Leaving(Small):
        def __call__(self, input_ids, **mask):
            states = torch.zeros(3)
            made.append(weakref.ref(states))
            return super().__call__(input_ids, **mask)

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: gone.append(made[-1]() is None))
    logits(Leaving(45), [random_rows(np.random.default_rng(0), 50, with_types=False)], budget=200)
    assert gone and all(gone)


def test_a_row_that_does_not_fit_by_itself_is_an_error():
    rows, model = random_rows(np.random.default_rng(0), 50, with_types=False), Small(20)
    assert rows.lengths.max() > 20
    with pytest.raises(torch.OutOfMemoryError):
        logits(model, [rows])


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def broken(**inputs):
        raise RuntimeError("broken")

    broken.device, broken.config = torch.device("cpu"), Small.config
    with pytest.raises(RuntimeError, match="broken"):
        logits(broken, [random_rows(np.random.default_rng(0), 5)])
