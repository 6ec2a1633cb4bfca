"""Batches depend on seed and step alone: not on shards, processes or where a run was resumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from make_shards import make_dataset

from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError
from dped_train.data import DISCRIMINATOR_BATCH, GENERATOR_BATCH, PatchPairs, open_pairs, read_ahead


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    return PatchStore(make_dataset(tmp_path_factory.mktemp("data") / "toy", train=21), "train")


def test_every_epoch_shows_every_patch_once_in_another_order(store: PatchStore) -> None:
    pairs = PatchPairs(store, batch_size=7, seed=3)
    epochs = [np.concatenate([pairs.indices(GENERATOR_BATCH, 3 * e + s) for s in range(3)]) for e in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(21))] * 2
    assert list(epochs[0]) != list(epochs[1])


def test_a_batch_reaches_over_the_end_of_an_epoch(store: PatchStore) -> None:
    pairs = PatchPairs(store, batch_size=50, seed=3)
    assert sorted(np.bincount(pairs.indices(GENERATOR_BATCH, 0), minlength=21)) == [2] * 13 + [3] * 8


def test_order_is_a_function_of_seed_step_and_purpose(store: PatchStore) -> None:
    first, again = PatchPairs(store, batch_size=4, seed=1), PatchPairs(store, batch_size=4, seed=1)
    forward = [first.indices(GENERATOR_BATCH, step) for step in range(30)]
    backward = [again.indices(GENERATOR_BATCH, step) for step in reversed(range(30))][::-1]
    np.testing.assert_array_equal(forward, backward)
    other_seed = [PatchPairs(store, batch_size=4, seed=2).indices(GENERATOR_BATCH, step) for step in range(30)]
    other_purpose = [first.indices(DISCRIMINATOR_BATCH, step) for step in range(30)]
    assert np.mean(np.equal(forward, other_seed)) < 0.3
    assert np.mean(np.equal(forward, other_purpose)) < 0.3


def test_shards_and_compression_do_not_matter(tmp_path: Path, store: PatchStore) -> None:
    other = PatchStore(make_dataset(tmp_path / "toy", train=21, shards=5, compression="gzip"), "train")
    assert len(other.shards) == 5
    for step in (0, 9):
        mine = PatchPairs(store, batch_size=6, seed=0).read(GENERATOR_BATCH, step)
        its = PatchPairs(other, batch_size=6, seed=0).read(GENERATOR_BATCH, step)
        np.testing.assert_array_equal(mine.phone, its.phone)
        np.testing.assert_array_equal(mine.dslr, its.dslr)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_processes_share_the_batch_of_one(store: PatchStore, processes: int) -> None:
    pairs = PatchPairs(store, batch_size=5, seed=0, flips=True, quarter_turns=True)
    whole = pairs.read(GENERATOR_BATCH, 4)
    shares = [pairs.read(GENERATOR_BATCH, 4, rank, processes) for rank in range(processes)]
    for name in ("indices", "phone", "dslr", "show_dslr"):
        np.testing.assert_array_equal(np.concatenate([getattr(s, name) for s in shares]), getattr(whole, name))
    assert {share.whole for share in shares} == {5}


def test_photos_are_the_stored_ones_without_augmentation(store: PatchStore) -> None:
    batch = PatchPairs(store, batch_size=21, seed=0).read(GENERATOR_BATCH, 0)
    phone, dslr = store.read(np.arange(21))
    np.testing.assert_array_equal(batch.phone, phone[batch.indices])
    np.testing.assert_array_equal(batch.dslr, dslr[batch.indices])


@pytest.mark.parametrize(("flips", "turns", "looks"), [(True, False, 2), (False, True, 4), (True, True, 8)])
def test_augmentation_turns_and_mirrors_both_photos_alike(
    store: PatchStore, flips: bool, turns: bool, looks: int
) -> None:
    pairs = PatchPairs(store, batch_size=21, seed=0, flips=flips, quarter_turns=turns)
    phone, dslr = store.read(np.arange(21))
    seen = np.zeros(8, int)
    for step in range(8):
        batch = pairs.read(GENERATOR_BATCH, step)
        for index, p, d in zip(batch.indices, batch.phone, batch.dslr, strict=True):
            matching = [code for code in range(8) if np.array_equal(_look(phone[index], code), p)]
            assert len(matching) == 1
            np.testing.assert_array_equal(_look(dslr[index], matching[0]), d)
            seen[matching[0]] += 1
    assert (seen > 0).sum() == looks
    assert seen[seen > 0].min() > 168 / looks / 2  # fair within chance


def test_the_coin_is_fair(store: PatchStore) -> None:
    pairs = PatchPairs(store, batch_size=50, seed=0)
    assert 0.45 < np.mean([pairs.read(DISCRIMINATOR_BATCH, step).show_dslr for step in range(20)]) < 0.55


def test_reading_ahead_yields_the_steps_in_order(store: PatchStore) -> None:
    pairs = PatchPairs(store, batch_size=3, seed=0)
    read = list(read_ahead(pairs, (GENERATOR_BATCH, DISCRIMINATOR_BATCH), range(5, 12)))
    assert [data.step for data in read] == list(range(5, 12))
    for data in read:
        for purpose, batch in zip((GENERATOR_BATCH, DISCRIMINATOR_BATCH), data.batches, strict=True):
            np.testing.assert_array_equal(batch.indices, pairs.indices(purpose, data.step))
        assert data.waited_s >= 0


def test_reading_ahead_passes_on_the_readers_error(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "toy")
    pairs = PatchPairs(PatchStore(folder, "train"), batch_size=24, seed=0)
    (folder / "train" / "00001.h5").unlink()
    with pytest.raises(InputError, match=r"00001\.h5: shard is missing"):
        list(read_ahead(pairs, (GENERATOR_BATCH,), range(2)))


def test_patch_ids_name_shard_row_and_capture(store: PatchStore) -> None:
    assert PatchPairs(store, batch_size=1, seed=0).patch_ids(np.array([12])) == [
        "train/00001.h5:1 capture train-1-0 at x=12 y=0"
    ]


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split 'val' holds no patches, at least 1"):
        open_pairs(make_dataset(tmp_path / "no_val", val=0), "val")
    with pytest.raises(InputError, match="patches of 12 pixels, the networks need 16 or more"):
        open_pairs(make_dataset(tmp_path / "small", size=12), "train")
    manifest = make_dataset(tmp_path / "future") / "dataset.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format_version": 99}))
    with pytest.raises(InputError, match="format version 99, this program reads"):
        open_pairs(manifest.parent, "train")


def _look(photo: np.ndarray, code: int) -> np.ndarray:
    turned = np.rot90(photo, code % 4)
    return np.fliplr(turned) if code >= 4 else turned
