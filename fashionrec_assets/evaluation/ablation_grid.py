"""Which reduced models are trained beside the two-tower model, each without one of its techniques or with another.

Belongs here: the grid, and the words for each choice. Does not belong here: training, figures.

A variant is left out where it would be the reference itself: the grid follows the settings in force.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fashionrec_assets.settings import TwoTowerSettings

Axis = Literal["reference", "fusion", "loss", "negatives", "modalities", "session", "combination"]
Grid = Literal["default", "full"]

REFERENCE = "reference"
AXIS_TITLES: Mapping[Axis, str] = {
    "fusion": "How modalities are fused",
    "loss": "What is minimised",
    "negatives": "Where negatives come from",
    "modalities": "What is known of an item",
    "session": "Whether the session counts",
    "combination": "Two choices at once",
}
HARD_NEGATIVES = 32
"""Mined negatives per event, where the settings in force have none."""

_FUSIONS = {"attention": "attention", "concat": "concatenation", "mean": "the mean"}
_LOSSES = {"sampled_softmax": "sampled softmax", "infonce": "InfoNCE", "bpr": "BPR", "gbce": "gBCE"}
_MODALITIES = {"text": "text", "image": "photos", "id": "IDs"}


@dataclass(frozen=True)
class Variant:
    """A reduced model that differs from the reference by `changes` of its settings.

    `technique` is what the two differ in, in words; `adds`: the variant has it and the reference has not, else the
    other way round.
    """

    name: str
    axis: Axis
    title: str
    technique: str
    adds: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def settings(self, reference: TwoTowerSettings) -> TwoTowerSettings:
        """The variant's settings, checked like any others."""
        return TwoTowerSettings.model_validate({**reference.model_dump(), **self.changes})


def variants(
    reference: TwoTowerSettings, views: Sequence[str], grid: Grid = "default", *, items: int
) -> tuple[Variant, ...]:
    """The reference first, then every variant of the grid.

    `views` are the modalities this shop's items have, `items` how many items have events to train on: where all of
    them are negatives, it makes no difference how negatives are drawn.
    """
    fusion, loss = _choices("fusion", reference, _FUSIONS), _choices("loss", reference, _LOSSES)
    negatives = _negatives(reference, drawn=reference.negatives < items)
    found = [
        Variant(REFERENCE, "reference", "The settings in force", ""),
        *fusion,
        *loss,
        *negatives,
        *_modalities(reference, views),
        *_session(reference),
    ]
    if grid == "full":
        pairs = [*itertools.product(fusion, loss), *itertools.product(loss, negatives)]
        found += [_both(first, second) for first, second in pairs]
    return tuple(found)


def _choices(name: Literal["fusion", "loss"], reference: TwoTowerSettings, words: Mapping[str, str]) -> list[Variant]:
    """The other values of a setting."""
    own = getattr(reference, name)
    return [
        Variant(
            f"{name}={value}",
            name,
            title if any(letter.isupper() for letter in title) else title.capitalize(),
            f"{words[own]} over {title}",
            changes={name: value},
        )
        for value, title in words.items()
        if value != own
    ]


def _negatives(reference: TwoTowerSettings, *, drawn: bool) -> list[Variant]:
    found: list[Variant] = []
    if drawn and reference.uniform_negatives < 1:
        changes = {"uniform_negatives": 1.0}
        found.append(
            Variant("negatives=uniform", "negatives", "Uniform only", "negatives by popularity", changes=changes)
        )
    if drawn and reference.uniform_negatives > 0:
        changes = {"uniform_negatives": 0.0}
        found.append(
            Variant("negatives=popularity", "negatives", "By popularity only", "uniform negatives", changes=changes)
        )
    if reference.hard_negatives:
        words = ("negatives=no_hard", "Without hard negatives")
        changes = {"hard_negatives": 0}
    else:
        words = ("negatives=hard", "With hard negatives")
        changes = {"hard_negatives": HARD_NEGATIVES}
    name, title = words
    adds = not reference.hard_negatives
    return [*found, Variant(name, "negatives", title, "mined hard negatives", adds, changes)]


def _modalities(reference: TwoTowerSettings, views: Sequence[str]) -> list[Variant]:
    """One modality alone, and all but one; `id` needs no content, so it is always there."""
    read = tuple(reference.modalities)
    there = [name for name in _MODALITIES if name in read and (name == "id" or name in views)]
    found: list[Variant] = []
    for name in there:
        if len(read) > 1:
            title = f"Only {_MODALITIES[name]}"
            technique = f"everything beside {_MODALITIES[name]}"
            found.append(Variant(f"only_{name}", "modalities", title, technique, changes={"modalities": (name,)}))
    for name in there:
        rest = tuple(other for other in read if other != name)
        if rest:
            title = f"Without {_MODALITIES[name]}"
            technique = {"id": "an embedding of the item's ID"}.get(name, f"the items' {_MODALITIES[name]}")
            found.append(Variant(f"no_{name}", "modalities", title, technique, changes={"modalities": rest}))
    return found


def _session(reference: TwoTowerSettings) -> list[Variant]:
    on = reference.session_aware
    title = "Long-term taste only" if on else "With the current session"
    changes = {"session_aware": not on}
    return [Variant(f"session={'off' if on else 'on'}", "session", title, "the session-aware part", not on, changes)]


def _both(first: Variant, second: Variant) -> Variant:
    technique = f"{first.technique}, and {second.technique}"
    return Variant(
        f"{first.name}+{second.name}",
        "combination",
        f"{first.title} and {second.title[0].lower()}{second.title[1:]}",
        technique,
        changes={**first.changes, **second.changes},
    )
