"""A small shop with four tastes: an item's text is of one of two kinds and its photo of one of two, and a person turns
to items of one pair of kinds, and now and then to any.

Each kind shows in one token among noise. The last four items, one of each taste, have no events before the cut, and the
four before them none before the days that are kept back; items 0, 1 and 2 lack the photo, the text, and both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import ranking_task
from fashionrec_assets.embeddings.reading import Tokens
from fashionrec_assets.settings import NcfSettings, SynthesisSettings
from fashionrec_assets.towers.features import Modality, UserProfiles
from fashionrec_assets.towers.ncf.examples import KeptBack, keep_back
from fashionrec_assets.towers.ncf.inputs import NcfItems, NcfUsers

ITEMS, USERS, EVENTS, TASTES = 64, 120, 9, 4
COLD = np.arange(ITEMS - TASTES, ITEMS)
LATE = np.arange(ITEMS - 2 * TASTES, ITEMS - TASTES)
NO_PHOTO, NO_TEXT, NEITHER = 0, 1, 2
DAY = 86_400
START = 19_000 * DAY
CUT, LENGTH = START + 18 * DAY, 3 * DAY
SETTINGS = NcfSettings(
    dim=8,
    token_dim=8,
    layers=1,
    heads=2,
    mlp=(8, 4),
    batch_size=64,
    epochs=3,
    patience=3,
    history=6,
    negatives=64,
    learning_rate=1e-2,
)
SYNTHESIS = SynthesisSettings(
    content_dim=6, latent=4, hidden=16, epochs=2, batch_size=64, least_steps=40, learning_rate=5e-3
)


@dataclass(frozen=True)
class World:
    """`tastes` of items (n_items,) and `likes` of users (n_users,); `log` goes on after the cut."""

    log: EventLog
    items: NcfItems
    users: NcfUsers
    kept: KeptBack
    tastes: NDArray[np.int64]
    likes: NDArray[np.int64]

    @property
    def past(self) -> EventLog:
        return self.log.between(None, CUT)

    def with_tokens(self, **changes: Tokens) -> NcfItems:
        return replace(self.items, **changes)


def planted_tokens(kinds: NDArray[np.int64], length: int, width: int, seed: int) -> Tokens:
    """Of each item 2 to `length` tokens, one of which shows its kind."""
    rng = np.random.default_rng(seed)
    n = len(kinds)
    prototypes = 4 * rng.normal(size=(2, width)) / width**0.5
    states = 0.4 * rng.normal(size=(n, length, width))
    counts = rng.integers(2, length + 1, n)
    states[np.arange(n), rng.integers(0, counts)] += 2 * prototypes[kinds]
    mask = np.arange(length) < counts[:, None]
    return Tokens((states * mask[:, :, None]).astype(np.float16), mask)


def without(tokens: Tokens, rows: list[int]) -> Tokens:
    states, mask = tokens.states.copy(), tokens.mask.copy()
    states[rows], mask[rows] = 0, False
    return Tokens(states, mask)


def pooled(tokens: Tokens) -> Modality:
    counts = np.maximum(tokens.mask.sum(axis=1, keepdims=True), 1)
    return Modality((tokens.states.astype(np.float32).sum(axis=1) / counts), tokens.mask.any(axis=1))


def build() -> World:
    rng = np.random.default_rng(11)
    tastes = np.arange(ITEMS) % TASTES
    likes = np.arange(USERS + 2) % TASTES  # the last two have no events
    text = without(planted_tokens(tastes // 2, 5, 12, 1), [NO_TEXT, NEITHER])
    image = without(planted_tokens(tastes % 2, 4, 10, 2), [NO_PHOTO, NEITHER])
    users, items, times = [], [], []
    for user in range(USERS):
        own = np.flatnonzero(tastes == likes[user])
        # From the cut on, what is new then is bought like anything else.
        for event in range(EVENTS + 2):
            after, late = event >= EVENTS, event == EVENTS - 1
            known = ITEMS if after else COLD[0] if late else LATE[0]
            items.append(int(rng.choice(own[own < known])) if rng.random() < 0.9 else int(rng.integers(known)))
            users.append(user)
            low, high = (18, 20) if after else ((15, 18) if late else (0, 15))
            times.append(int(START + rng.integers(low * DAY, high * DAY)))
    log = EventLog.build(
        [f"u{n:03}" for n in range(USERS + 2)],
        [f"i{n:03}" for n in range(ITEMS)],
        users,
        items,
        times,
        [0] * len(users),
    )
    ids = log.item_ids
    return World(
        log,
        NcfItems(ids, text, image, {"text": pooled(text), "image": pooled(image)}),
        NcfUsers(),
        kept_of(log),
        tastes,
        likes,
    )


def kept_of(log: EventLog, *, share: float = 0.1, seed: int = 0) -> KeptBack:
    return keep_back(
        log.between(None, CUT),
        cut=CUT,
        length=LENGTH,
        share=share,
        launched_at=None,
        target_behaviours=("pv",),
        seed=seed,
    )


def task_after(log: EventLog):
    return ranking_task(log, name="after", start=CUT, end=CUT + 2 * DAY, max_cold_users=0)


def profiles_and_avatars(world: World) -> NcfUsers:
    """A column that tells each person's taste, and a picture of half of them; values are known of all or of some."""
    n = world.log.n_users
    rng = np.random.default_rng(5)
    present = np.arange(n) % 2 == 0
    values = np.where(present[:, None], rng.normal(size=(n, 6)), 0).astype(np.float32)
    columns = {"city": np.array(["a", "b", "c", "d"])[world.likes]}
    return NcfUsers(UserProfiles(columns), Modality(values, present))
