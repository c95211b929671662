"""What assets and later rooms read for synthesis, as arrays.

Belongs here: items' content, the training rows of the shop, how much is to be augmented, and synthetic rows read back.
Does not belong here: generators, training.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.reading import cuts, event_log, launched
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, vectors
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.synthesis.rows import (
    ItemContent,
    SyntheticRows,
    TrainingRows,
    contains,
    pair_keys,
    training_rows,
)

MODEL = "vae_model"
"""The artifact of the VAE."""

SWEEP, CHOSEN = "augmentation_sweep", "chosen.json"
"""The artifact of the sweep, and its file that says what it chose."""


@dataclass(frozen=True)
class Augmentation:
    """How much is augmented: `degree` synthetic rows for each real one, drawn at `temperature`, each counting as much
    as `weight` real ones in training. `pays`: whether to train with them: the sweep found that they beat no
    augmentation, or the settings say how many there are to be, whatever the sweep found."""

    degree: float
    temperature: float
    weight: float
    pays: bool


@dataclass(frozen=True)
class SynthesisInputs:
    """What the VAE of the shop is trained on and draws from: all of it from before the test days."""

    log: EventLog
    rows: TrainingRows
    content: ItemContent

    @classmethod
    def of(cls, shop: Shop) -> SynthesisInputs:
        """The shop's, cut at the start of the test days."""
        cut = cuts(shop).test
        log = event_log(shop).between(None, cut)
        content = item_content(shop, log, cut)
        return cls(log, training_rows(log, content.available, seed=shop.settings.seed), content)


def item_content(shop: Shop, log: EventLog, cut: int) -> ItemContent:
    """The content of `log.item_ids`; `log` must end before `cut` (UTC seconds).

    Available is what was launched before the cut, or has an event before it, whatever the catalog says.
    """
    ids = log.item_ids.tolist()
    with shop.warehouse.reader() as connection:
        found = connection.execute(
            "SELECT coalesce(product_type, ''), coalesce(colour, '') FROM items ORDER BY item_id"
        ).fetchall()
    text, image = vectors(shop, TEXT_STORE, ids), vectors(shop, IMAGE_STORE, ids)
    available = launched(shop) < cut
    available[log.items[log.times < cut]] = True
    types, colours = zip(*found, strict=True) if found else ((), ())
    return ItemContent(
        np.concatenate([text.values, image.values], axis=1),
        text.present | image.present,
        np.asarray(types, np.str_),
        np.asarray(colours, np.str_),
        available,
    )


def chosen_augmentation(shop: Shop) -> Augmentation:
    """What the settings say, and where they say nothing, what `augmentation_sweep` chose.

    Raises LookupError, with the remedy, if the sweep is needed and was never made.
    """
    settings = shop.settings.synthesis
    given = {"degree": settings.degree, "temperature": settings.temperature, "weight": settings.weight}
    needed = None in given.values()
    found = json.loads((shop.current(SWEEP) / CHOSEN).read_text("utf-8")) if needed else {}
    chosen = {name: float(found[name] if value is None else value) for name, value in given.items()}
    return Augmentation(**chosen, pays=bool(found["pays"] if settings.degree is None else settings.degree))


def synthetic_rows(shop: Shop, log: EventLog, rows: TrainingRows | None = None) -> SyntheticRows:
    """The table of synthetic rows, in rows of `log`'s vocabularies.

    `sources` are those of `rows`, or -1: without `rows`, and where a source is none of them. Raises LookupError, with
    the remedy, for a user or item that the log does not know.
    """
    with shop.warehouse.reader() as connection:
        found = connection.sql(
            "SELECT user_id, item_id, label, source_user_id, source_item_id FROM vae_synthetic_samples ORDER BY sample"
        ).to_arrow_table()
    users, items = (
        _places(names, found.column(key).to_pylist())
        for names, key in ((log.user_ids, "user_id"), (log.item_ids, "item_id"))
    )
    sources = np.full(len(users), -1, np.int64)
    if rows is not None and len(users):
        of_users, of_items = (
            _places(names, found.column(key).to_pylist())
            for names, key in ((log.user_ids, "source_user_id"), (log.item_ids, "source_item_id"))
        )
        keys = pair_keys(rows.users, rows.items, log.n_items)
        order = np.argsort(keys, kind="stable")
        wanted = pair_keys(of_users, of_items, log.n_items)
        there = contains(keys[order], wanted)
        sources[there] = order[np.searchsorted(keys[order], wanted[there])]
    return SyntheticRows(users, items, found.column("label").to_numpy().astype(np.float32), sources)


def _places(vocabulary: NDArray[np.str_], names: list[str]) -> NDArray[np.int32]:
    wanted = np.asarray(names, np.str_)
    if len(wanted) and not len(vocabulary):
        raise LookupError("there are synthetic rows but no users or items: materialize vae_synthetic_samples again")
    places = np.minimum(np.searchsorted(vocabulary, wanted), max(len(vocabulary) - 1, 0))
    unknown = wanted[vocabulary[places] != wanted] if len(wanted) else wanted
    if len(unknown):
        raise LookupError(
            f"{len(unknown)} synthetic rows are about what the catalog no longer has (e.g. {unknown[0]}): materialize "
            "vae_synthetic_samples again"
        )
    return places.astype(np.int32)
