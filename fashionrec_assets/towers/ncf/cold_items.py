"""What stands for the ID embedding of an item without training events.

Belongs here: filling the gap in three ways, and how far items without events are lifted. Does not belong here: the VAE
itself (`synthesis/embedding_vae.py`). torch is imported inside functions.

Each ID has an embedding and a logit of its own, to which its popularity at the cut is added: both are generated from
content, as GoRec and CVAR (Zhao et al., SIGIR 2022) generate the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.settings import SynthesisSettings
from fashionrec_assets.synthesis.embedding_vae import neighbour_embeddings, train_embedding_vae
from fashionrec_assets.towers.ncf.inputs import NcfItems
from fashionrec_assets.towers.ncf.model import Ncf

Filling = Literal["vae", "neighbours", "unknown"]


@dataclass(frozen=True)
class FilledIds:
    """Of n items: `embeddings` float32 (n, d), the items' own `logits` float32 (n,) with popularity at the cut,
    `known` bool (n,): whether the embedding says anything of the item, and `learned` bool (n,): from its own events."""

    embeddings: NDArray[np.float32]
    logits: NDArray[np.float32]
    known: NDArray[np.bool_]
    learned: NDArray[np.bool_]


def fill_ids(
    model: Ncf,
    items: NcfItems,
    filling: Filling,
    settings: SynthesisSettings,
    *,
    popularity: NDArray[np.float32] | None = None,
    as_if_new: NDArray[np.bool_] | None = None,
    seed: int,
) -> FilledIds:
    """The IDs of `items`, in their order: learned where the item has training events, else filled.

    `as_if_new` (n,): items whose learned embedding is not to be used, nor learned from. `popularity` float32 (v, terms)
    of the model's items; by default at its cut. An item without content stays unknown, and all do where the model
    reads no IDs.
    """
    import torch

    with torch.no_grad():
        table = model.module.item_ids.weight.cpu().numpy()
        weights = model.module.popularity.cpu().numpy()
    ids = model.id_rows(items.item_ids).cpu().numpy()
    learned = ids > 0 if as_if_new is None else (ids > 0) & ~as_if_new
    terms = np.concatenate(
        [np.zeros((1, len(weights)), np.float32), model.popularity if popularity is None else popularity]
    )
    rows = table[np.where(learned, ids, 0)]
    embeddings, logits = rows[:, :-1].copy(), rows[:, -1] + (terms @ weights)[np.where(learned, ids, 0)]
    known = learned.copy()
    content = items.content(model.modalities if set(model.modalities) & {"text", "image"} else ("text", "image"))
    source, wanted = learned & content.present, ~learned & content.present
    if filling != "unknown" and "id" in model.modalities and wanted.any() and source.sum() > 1:
        of = np.concatenate([embeddings, logits[:, None]], axis=1)
        if filling == "neighbours":
            made = neighbour_embeddings(
                of[source], content.values[source], content.values[wanted], model.settings.cold_neighbours
            )
        else:
            counts = np.append(0, model.counts)[np.where(learned, ids, 0)].astype(np.float32)
            vae = train_embedding_vae(of[source], content.values[source], counts[source], settings, seed=seed)
            made = vae.generate(content.values[wanted])
        # How wanted new items are as a whole is what hiding IDs has taught; content says which more than others.
        embeddings[wanted], known[wanted] = made[:, :-1], True
        logits[wanted] = table[0, -1] + made[:, -1] - logits[source].mean()
    return FilledIds(embeddings, logits.astype(np.float32), known, learned)
