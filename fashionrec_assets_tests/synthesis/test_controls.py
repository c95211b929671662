from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.synthesis.augment import KINDS, Kind, generator
from fashionrec_assets.synthesis.controls import NEIGHBOURS, NeighbourGenerator
from fashionrec_assets.synthesis.embedding_vae import unit
from fashionrec_assets.synthesis.rows import SyntheticRows, TrainingRows
from fashionrec_assets.synthesis.sampling import source_weights
from fashionrec_assets_tests.synthesis.conftest import World


def drawn(tastes: World, kind: Kind, count: int = 300, seed: int = 1) -> SyntheticRows:
    made_by = generator(kind, tastes.log, tastes.rows, tastes.content, tastes.settings, seed=3)
    return made_by.draw(count, temperature=1.0, seed=seed)


@pytest.mark.parametrize("kind", ["neighbours", "attributes", "random"])
def test_a_control_keeps_label_user_and_the_common_rules(tastes: World, kind: Kind) -> None:
    made = drawn(tastes, kind)
    real = set(zip(tastes.rows.users.tolist(), tastes.rows.items.tolist(), strict=True))
    pairs = list(zip(made.users.tolist(), made.items.tolist(), strict=True))
    assert len(made) == 300 and len(set(pairs)) == 300 and not real & set(pairs)
    assert tastes.content.available[made.items].all()
    assert (made.items != tastes.rows.items[made.sources]).all()
    assert np.array_equal(made.labels, tastes.rows.labels[made.sources])
    assert np.array_equal(made.users, tastes.rows.users[made.sources])
    assert 0.4 < made.labels.mean() < 0.6


def test_a_neighbour_is_near(tastes: World) -> None:
    # A few likes: hardly any neighbour is taken already.
    rows = tastes.rows.take(tastes.rows.users < 3)
    made = NeighbourGenerator(rows, tastes.content, "v").draw(40, seed=1)
    cosines = unit(tastes.content.values) @ unit(tastes.content.values).T
    cosines[:, ~tastes.content.usable] = -2
    np.fill_diagonal(cosines, -2)
    sources = rows.items[made.sources]
    rank = (cosines[sources] > cosines[sources, made.items][:, None]).sum(axis=1)
    assert (rank < NEIGHBOURS).mean() > 0.9
    assert len(set(rank.tolist())) > NEIGHBOURS // 2


def test_one_attribute_is_swapped_and_the_other_stays(tastes: World) -> None:
    made = drawn(tastes, "attributes")
    source, content = tastes.rows.items[made.sources], tastes.content
    same_type = content.types[made.items] == content.types[source]
    same_colour = content.colours[made.items] == content.colours[source]
    assert (same_type & ~same_colour).all()


def test_another_type_in_the_same_colour_where_there_is_no_other_colour(tastes: World) -> None:
    content = replace(tastes.content, colours=np.where(tastes.clusters == 0, "red", tastes.content.colours))
    made = generator("attributes", tastes.log, tastes.rows, content, tastes.settings, seed=3).draw(
        300, temperature=1.0, seed=1
    )
    source = tastes.rows.items[made.sources]
    only_red = tastes.clusters[source] == 0
    assert only_red.sum() > 50
    assert (content.types[made.items] != content.types[source])[only_red].all()
    assert (content.colours[made.items] == "red")[only_red].all()


def test_items_without_attributes_are_left_alone(tastes: World) -> None:
    known = np.arange(len(tastes.content.types)) % 3 > 0
    content = replace(tastes.content, types=np.where(known, tastes.content.types, ""))
    made = generator("attributes", tastes.log, tastes.rows, content, tastes.settings, seed=3).draw(
        200, temperature=1.0, seed=1
    )
    assert len(made) == 200
    assert known[made.items].all() and known[tastes.rows.items[made.sources]].all()


def test_random_items_know_no_taste_but_neighbours_do(tastes: World) -> None:
    def own(made: SyntheticRows) -> float:
        liked = made.labels > 0.5
        return float((tastes.clusters[made.items] == tastes.tastes[made.users])[liked].mean())

    # People have many items of their own cluster already: fewer are left to be drawn.
    assert own(drawn(tastes, "random")) < 0.6 < own(drawn(tastes, "neighbours"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_is_named_by_what_it_was_made_of(tastes: World, kind: Kind) -> None:
    few = tastes.settings.model_copy(update={"least_steps": 10, "epochs": 1})
    one, same = (generator(kind, tastes.log, tastes.rows, tastes.content, few, seed=3) for _ in range(2))
    fewer = generator(kind, tastes.log, tastes.rows.take(np.arange(500)), tastes.content, few, seed=3)
    later = generator(kind, tastes.log, tastes.rows, tastes.content, few, seed=4)
    assert one.name == kind
    assert one.version == same.version
    assert len({one.version, fewer.version, later.version}) == 3
    assert np.array_equal(one.draw(20, temperature=1.0, seed=1).items, same.draw(20, temperature=1.0, seed=1).items)
    assert len(one.draw(0, temperature=1.0, seed=1)) == 0


def test_content_must_be_that_of_the_log(tastes: World) -> None:
    short = replace(tastes.content, available=tastes.content.available[:5])
    with pytest.raises(ValueError, match="content has 5 rows"):
        generator("random", tastes.log, tastes.rows, short, tastes.settings, seed=3)


def test_there_are_fewer_rows_than_asked_for_where_no_pair_is_left() -> None:
    from fashionrec_assets.synthesis.controls import RandomGenerator
    from fashionrec_assets.synthesis.rows import ItemContent

    rows = TrainingRows(
        np.zeros(2, np.int32), np.arange(2, dtype=np.int32), np.ones(2, np.float32), np.zeros(2, np.int64)
    )
    three = np.ones(3, np.bool_)
    content = ItemContent(np.eye(3, dtype=np.float32), three, np.array([""] * 3), np.array([""] * 3), three)
    made = RandomGenerator(rows, content, "v").draw(10, seed=1)
    assert made.items.tolist() == [2]


def test_what_is_seen_little_is_started_from_more_and_labels_keep_their_share() -> None:
    items = np.array([0, 0, 0, 0, 1, 2, 3, 4], np.int32)
    labels = np.array([1, 1, 1, 1, 1, 0, 0, 0], np.float32)
    rows = TrainingRows(np.arange(8, dtype=np.int32), items, labels, np.zeros(8, np.int64))
    weights = source_weights(rows, np.ones(8, np.bool_))
    assert weights.sum() == pytest.approx(1)
    assert weights[4] == pytest.approx(2 * weights[0])
    assert weights[labels > 0.5].sum() == pytest.approx(5 / 8)
    assert source_weights(rows, labels > 0.5)[labels < 0.5].sum() == 0
