"""Batches, augmentation and pictures of one size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fashionrec_assets.embeddings.clip_data import Pairs, augment, numbered, shuffled_batches
from fashionrec_assets.embeddings.images import prepare_images


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        Pairs(np.zeros((3, 4, 4, 3), np.uint8), ["a"], ["f"], ["k"])


def test_equal_values_have_equal_numbers() -> None:
    assert numbered(["b", "a", "b"]).tolist() == [0, 1, 0]


def test_a_batch_holds_each_row_once_and_epochs_differ() -> None:
    rows, kinds = np.arange(10, 75), np.zeros(75, np.int64)
    draw = generator()
    first, second = (shuffled_batches(rows, kinds, 16, 0.0, draw) for _ in range(2))
    assert [len(batch) for batch in first] == [16] * 4
    flat = np.concatenate(first)
    assert len(set(flat.tolist())) == 64
    assert set(flat.tolist()) <= set(rows.tolist())
    assert (np.concatenate(second) != flat).any()
    again = shuffled_batches(rows, kinds, 16, 0.0, generator())
    assert all((one == other).all() for one, other in zip(first, again, strict=True))


def test_hard_batches_hold_more_of_one_kind_and_lose_no_row() -> None:
    rows = np.arange(640)
    kinds = rows % 20
    plain = shuffled_batches(rows, kinds, 32, 0.0, generator())
    hard = shuffled_batches(rows, kinds, 32, 0.5, generator())
    assert sorted(np.concatenate(hard).tolist()) == rows.tolist()

    def alike(batches: list[np.ndarray]) -> float:
        return float(np.mean([np.bincount(kinds[batch]).max() for batch in batches]))

    assert alike(hard) > 1.5 * alike(plain)
    assert {len(batch) for batch in hard} == {32}


def test_augmentation_keeps_shape_and_flat_colour() -> None:
    flat = torch.full((6, 3, 16, 12), 0.7)
    seen = augment(flat, generator())
    assert seen.shape == flat.shape
    torch.testing.assert_close(seen, flat)
    ramp = torch.linspace(0, 1, 12).expand(6, 3, 16, 12).contiguous()
    first = augment(ramp, generator())
    assert not torch.equal(first, augment(ramp, generator(1)))
    assert torch.equal(first, augment(ramp, generator()))


def test_images_are_fitted_without_distortion() -> None:
    wide = prepare_images([Image.new("RGB", (40, 10), (200, 0, 0))], 32, 24)
    assert wide.shape == (1, 32, 24, 3)
    rows = np.flatnonzero((wide[0] == (200, 0, 0)).all(axis=2).all(axis=1))
    assert len(rows) == 6
    assert (wide[0, 0] == 255).all()
