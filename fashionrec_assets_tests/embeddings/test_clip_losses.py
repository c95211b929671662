"""The losses treat equal texts as equals; ranks are strict."""

from __future__ import annotations

import numpy as np
import torch

from fashionrec_assets.embeddings.clip_losses import contrastive_loss, ranks, retrieval, sigmoid_loss


def test_pairs_with_the_same_text_do_not_push_each_other_away() -> None:
    text = torch.eye(3)
    image = text[[1, 0, 2]]
    scale, bias = torch.tensor(20.0), torch.tensor(-10.0)
    distinct, equal = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1])
    assert contrastive_loss(image, text, scale, equal) < 0.6 * contrastive_loss(image, text, scale, distinct)
    assert contrastive_loss(text, text, scale, distinct) < 1e-4
    as_equals = sigmoid_loss(image, text, scale, bias, equal)
    as_negatives = sigmoid_loss(image, text, scale, bias, distinct)
    assert as_equals < as_negatives


def test_the_sigmoid_loss_is_open_clips_where_all_texts_differ() -> None:
    from open_clip.loss import SigLipLoss

    draw = torch.Generator().manual_seed(0)
    image, text = (torch.nn.functional.normalize(torch.randn(5, 8, generator=draw), dim=1) for _ in range(2))
    scale, bias = torch.tensor(10.0), torch.tensor(-10.0)
    torch.testing.assert_close(
        sigmoid_loss(image, text, scale, bias, torch.arange(5)), SigLipLoss()(image, text, scale, bias)
    )


def test_only_the_own_row_is_right() -> None:
    eye = np.eye(20, dtype=np.float32)
    assert retrieval(eye, eye) == (1.0, 1.0)
    recall, rank = retrieval(eye, np.roll(eye, 1, axis=0), k=1)
    assert recall == 0
    assert rank < 0.6


def test_ties_share_the_middle_of_their_ranks_in_any_chunk() -> None:
    same = np.ones((9, 4), np.float32) / 2
    assert ranks(same, same).tolist() == [5.0] * 9
    draw = np.random.default_rng(0)
    queries, gallery = draw.normal(size=(2, 50, 6)).astype(np.float32)
    assert (ranks(queries, gallery, chunk=7) == ranks(queries, gallery)).all()
