"""Pasts and people in common, against a plain count of the log's events."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.recommendations.explanations import past as room
from fashionrec_assets.recommendations.explanations.past import Past, People

USERS, ITEMS = 9, 14


def random_log() -> EventLog:
    rng = np.random.default_rng(4)
    users = rng.integers(0, USERS - 1, 160)  # the last has no event
    return EventLog.build(
        [f"u{user}" for user in range(USERS)],
        [f"i{item:02}" for item in range(ITEMS)],
        users.tolist(),
        rng.integers(0, ITEMS, 160).tolist(),
        rng.integers(0, 40, 160).tolist(),
        rng.integers(0, 4, 160).tolist(),
    )


LOG = random_log()
ASKED = np.array([6, USERS - 1, 2], np.int64)
PAST = Past.of(LOG, LOG.offsets(), ASKED)


def test_a_past_has_each_item_once_with_the_furthest_behaviour_and_its_last_time() -> None:
    assert PAST.sizes.tolist() == [len(set(LOG.items[LOG.users == user].tolist())) for user in ASKED]
    assert PAST.sizes[1] == 0
    for at, owner in enumerate(PAST.owner.tolist()):
        events = (LOG.users == ASKED[owner]) & (LOG.items == PAST.items[at])
        furthest = LOG.behaviours[events].max()
        assert PAST.behaviours[at] == furthest
        assert PAST.times[at] == LOG.times[events & (LOG.behaviours == furthest)].max()
    for start, stop in pairwise(PAST.offsets.tolist()):
        mine = list(zip((-PAST.times[start:stop]).tolist(), PAST.items[start:stop].tolist(), strict=True))
        assert mine == sorted(set(mine))


def test_items_are_found_where_they_stand() -> None:
    order = np.random.default_rng(0).permutation(len(PAST.items))
    assert np.array_equal(PAST.place(PAST.owner[order], PAST.items[order]), order)


def test_what_is_shared_is_counted_and_the_unknown_shares_nothing() -> None:
    codes = np.arange(ITEMS) % 3
    owner, items = np.divmod(np.arange(3 * ITEMS), ITEMS)
    wanted = [
        0 if codes[item] == 0 else int((codes[PAST.items[PAST.owner == user]] == codes[item]).sum())
        for user, item in zip(owner.tolist(), items.tolist(), strict=True)
    ]
    assert max(wanted) > 1
    assert PAST.sharing(codes, owner, items).tolist() == wanted


@pytest.mark.parametrize("cells", [1, 3 * ITEMS, 10**6])
def test_people_in_common_are_counted_however_many_pairs_at_a_time(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(room, "_CELLS", cells)
    turned = [set(LOG.users[LOG.items == item].tolist()) for item in range(ITEMS)]
    dense = np.array([[user in who for user in range(USERS)] for who in turned], np.float32)
    people = People(sparse.csr_array(dense))
    others, items = np.divmod(np.random.default_rng(1).permutation(ITEMS * ITEMS)[:120], ITEMS)
    wanted = [len(turned[one] & turned[other]) for one, other in zip(others, items, strict=True)]
    assert people.together(others, items).tolist() == wanted
    assert people.of_item.tolist() == [len(who) for who in turned]
    assert people.together(others[:0], items[:0]).tolist() == []
