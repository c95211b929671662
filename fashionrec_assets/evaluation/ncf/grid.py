"""Which reduced models the study of fusion, VAE samples and neural collaborative filtering trains, as data.

Belongs here: the experiments, their variants, what makes two variants one model, and the words for each. Does not
belong here: training, figures, layout.

The study asks what arXiv 2410.02219 leaves open: how much VAE samples help and in what degree, what alignment of the
two modalities adds, and how VAE samples do beside rules. Every variant is judged against another one of its own
experiment that differs from it in one technique.

But for the experiment on cold items, an item without events has the same ID embedding as every other such item: a
model "without VAE" has none in any place, and "with VAE" means synthetic rows in its training data.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fashionrec_assets.evaluation.slices import SliceName
from fashionrec_assets.settings import NcfSettings, Settings, digest

Kind = Literal["vae", "neighbours", "attributes", "random"]
Grid = Literal["default", "full"]
Subject = Literal[
    "reference",
    "modalities",
    "fusion",
    "vae",
    "alignment",
    "augmentation",
    "vae_over_rule",
    "filling",
    "filling_over_rule",
    "id_dropout",
    "baseline",
    "events",
    "scorer",
]
"""What the technique is about in which a variant and the one it is judged against differ."""

EXPERIMENTS: Mapping[int, str] = {
    1: "Text, photos, IDs, or all of them",
    2: "Fusion, VAE samples and alignment",
    3: "Augmentation by kind and degree",
    4: "Items and people without events",
    5: "Fewer events, and other days",
    0: "How user and item are matched",
}
"""In the order of the report."""
STANDARD_DEGREE = 0.5
"""Synthetic rows for each real one where the settings name no degree above 0."""
STANDARD_ALIGNMENT = 0.1
"""Weight of the alignment loss where the settings have none."""
STANDARD_ID_DROPOUT = 0.5
FULL_DEGREES: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0)
FULL_KEEPS: tuple[float, ...] = (0.5, 0.25, 0.1)
DEFAULT_KEEPS: tuple[float, ...] = (0.25,)
RULES: tuple[Kind, ...] = ("neighbours", "attributes", "random")
BASELINE = "cold=content_knn"

_FUSIONS = {"early": "early fusion", "intermediate": "intermediate fusion", "late": "late fusion"}
_KINDS: Mapping[Kind, str] = {
    "vae": "VAE samples",
    "neighbours": "Neighbour substitution",
    "attributes": "Attribute swap",
    "random": "Random samples",
}
_MODALITIES = {"text": "text", "image": "photos", "id": "IDs"}
_SCORERS = {"neumf": "NeuMF", "gmf": "GMF", "mlp": "an MLP", "dot": "a dot product"}
_FILLINGS = {
    "neighbours": "the neighbours' mean for cold items",
    "vae": "VAE embeddings for cold items",
}


@dataclass(frozen=True)
class Variant:
    """A reduced model: `changes` to the NCF settings, and what its training data are.

    `augmentation` with `degree` synthetic rows for each real one; `keep`: share of the training events that are kept;
    `window`: 0 for the test window, n for one that lies n test lengths earlier. `reference` is the name of the variant
    it is judged against, empty where it is itself such a reference; `technique` is what the two differ in, in words,
    and `adds` says that this one has the technique and the reference has not, else the other way round. `contrast`: it
    is the same model as another variant and stands here for a second comparison. `baseline`: it is no NCF model, and
    nothing is trained. `headline`: the slice whose NDCG the verdict rests on.
    """

    name: str
    experiment: int
    title: str
    technique: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    augmentation: Kind | None = None
    degree: float = 0.0
    keep: float = 1.0
    window: int = 0
    reference: str = ""
    adds: bool = False
    subject: Subject = "reference"
    contrast: bool = False
    baseline: bool = False
    headline: SliceName = "overall"

    def settings(self, base: NcfSettings) -> NcfSettings:
        """The variant's settings, checked like any others."""
        return NcfSettings.model_validate({**base.model_dump(), **self.changes})

    def training(self, base: NcfSettings) -> str:
        """A fingerprint of all that its training depends on beside data and seed: equal ones are one trained model.

        What fills the ID embeddings of cold items is chosen after training, so it is no part of it.
        """
        return digest([self._knobs(base, without="cold_items"), *self._data()])

    def recipe(self, base: NcfSettings) -> str:
        """A fingerprint of all that its figures depend on beside data and seed."""
        return digest([self._knobs(base), *self._data()])

    def _data(self) -> list[object]:
        made = [self.augmentation, float(self.degree)] if self.augmentation is not None and self.degree > 0 else []
        return [made, float(self.keep), self.window, self.baseline]

    def _knobs(self, base: NcfSettings, without: str = "") -> dict[str, Any]:
        if self.baseline:
            return {}
        found = self.settings(base)
        knobs = {name: value for name, value in found.model_dump(mode="json").items() if not name.startswith("sweep_")}
        knobs["modalities"] = sorted(found.modalities)
        if found.scorer != "neumf":
            del knobs["pretrain"]
        if "id" not in found.modalities:
            for name in ("cold_items", "cold_neighbours", "id_dropout"):
                del knobs[name]
        elif found.cold_items != "neighbours" or without:
            del knobs["cold_neighbours"]
        knobs.pop(without, None)
        return knobs


def variants(
    settings: Settings, views: Sequence[str], grid: Grid = "default", experiments: Sequence[int] = tuple(EXPERIMENTS)
) -> tuple[Variant, ...]:
    """The variants of the chosen experiments, in the report's order; `views` are the modalities the shop's items have.

    Names are unique. A question that the shop cannot answer, such as how to fuse photos it has not, is left out.
    Raises ValueError for an experiment that does not exist.
    """
    unknown = sorted(set(experiments) - set(EXPERIMENTS))
    if unknown:
        raise ValueError(f"there are no experiments {unknown}; there are {sorted(EXPERIMENTS)}")
    shop = _Shop(settings, views, grid)
    makers = {
        0: shop.scorers,
        1: shop.modalities,
        2: shop.fusions,
        3: shop.augmentations,
        4: shop.cold_start,
        5: shop.sparsity,
    }
    return tuple(variant for number in EXPERIMENTS if number in experiments for variant in makers[number]())


def percent(share: float) -> str:
    """A share as titles print it: `50 %`, which no line breaks."""
    return f"{100 * share:g}\N{NO-BREAK SPACE}%"


class _Shop:
    """What the makers of the experiments share: what this shop has, and the settings all their models start from."""

    def __init__(self, settings: Settings, views: Sequence[str], grid: Grid) -> None:
        self.ncf, self.full = settings.ncf, grid == "full"
        self.views = [name for name in ("text", "image") if name in views]
        read = [name for name in _MODALITIES if name in self.ncf.modalities and (name == "id" or name in self.views)]
        self.modal = tuple(read) or ("id",)
        self.base: dict[str, Any] = {"modalities": self.modal, "cold_items": "unknown"}
        self.degree = settings.synthesis.degree or STANDARD_DEGREE
        self.degrees = sorted({self.degree, *FULL_DEGREES}) if self.full else [self.degree]

    def modalities(self) -> Iterator[Variant]:
        every = (*self.views, "id")
        words = [_MODALITIES[name] for name in every]
        title = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
        whole = Variant("modalities=all", 1, _capital(title), changes={**self.base, "modalities": every})
        yield whole
        if len(every) > 1:
            for name in every:
                rest = " and ".join(_MODALITIES[other] for other in every if other != name)
                yield replace(
                    whole,
                    name=f"modalities={name}",
                    title=f"Only {_MODALITIES[name]}",
                    technique=f"{rest} beside {_MODALITIES[name]}",
                    changes={**self.base, "modalities": (name,)},
                    reference=whole.name,
                    subject="modalities",
                )

    def fusions(self) -> Iterator[Variant]:
        own = self.ncf.fusion
        both = {"text", "image"} <= set(self.modal)
        order = [own, *[name for name in _FUSIONS if name != own and both]]
        weight = self.ncf.alignment or STANDARD_ALIGNMENT
        for name in order:
            words = _FUSIONS[name]
            changes = {**self.base, "fusion": name, "alignment": 0.0}
            plain = Variant(f"fusion={name}", 2, _capital(name), changes=changes)
            if name != own:
                technique = f"{_FUSIONS[own]} over {words}"
                plain = replace(plain, reference=f"fusion={own}", technique=technique, subject="fusion")
            sampled = self._sampled(plain, f"VAE samples under {words}")
            aligned = [self._aligned(one, weight) for one in (plain, sampled)] if both else []
            yield from (plain, sampled)
            if self.full:
                yield from aligned
            elif name == own:
                yield from aligned[:1]

    def augmentations(self) -> Iterator[Variant]:
        none = Variant("augmentation=none", 3, "No augmentation", changes=self.base)
        yield from self._kinds(none)
        alone = [name for name in self.views if len(self.views) > 1] if self.full else []
        for name in alone:
            changes = {**self.base, "modalities": (name,)}
            word = _MODALITIES[name]
            plain = replace(none, name=f"augmentation=none+{name}", title=f"Only {word}", changes=changes)
            yield plain
            for degree in self.degrees:
                yield replace(
                    plain,
                    name=f"augmentation=vae:{_whole(degree)}+{name}",
                    title=f"Only {word}, VAE, {percent(degree)}",
                    technique=f"VAE samples ({percent(degree)}) with only {word}",
                    augmentation="vae",
                    degree=degree,
                    reference=plain.name,
                    adds=True,
                    subject="vae",
                )

    def _kinds(self, none: Variant) -> Iterator[Variant]:
        yield none
        made: dict[tuple[Kind, float], Variant] = {}
        for kind, degree in itertools.product(_KINDS, self.degrees):
            made[kind, degree] = replace(
                none,
                name=f"augmentation={kind}:{_whole(degree)}",
                title=f"{_KINDS[kind]}, {percent(degree)}",
                technique=f"{lowered(_KINDS[kind])} ({percent(degree)})",
                augmentation=kind,
                degree=degree,
                reference=none.name,
                adds=True,
                subject="vae" if kind == "vae" else "augmentation",
            )
        yield from made.values()
        for rule, degree in itertools.product(RULES, self.degrees):
            yield replace(
                made["vae", degree],
                name=f"vae_over_{rule}:{_whole(degree)}",
                technique=f"VAE samples over {lowered(_KINDS[rule])} ({percent(degree)})",
                reference=made[rule, degree].name,
                subject="vae_over_rule",
                contrast=True,
            )

    def cold_start(self) -> Iterator[Variant]:
        """The three fillings of one trained model, with and without hiding IDs in training, beside content alone."""
        own = self.ncf.id_dropout or STANDARD_ID_DROPOUT
        content = any(name in self.modal for name in ("text", "image"))
        if "id" in self.modal and content:
            for share in (own, 0.0):
                yield from self._fillings(share, own)
        else:
            yield Variant(
                f"cold=unknown:{_whole(own)}", 4, "One vector for cold items", changes=self.base, headline="cold"
            )
        if self.views:
            best = f"cold=vae:{_whole(own)}" if "id" in self.modal and content else f"cold=unknown:{_whole(own)}"
            yield Variant(
                BASELINE,
                4,
                "Content-kNN, untrained",
                "the NCF model over content-kNN",
                reference=best,
                subject="baseline",
                baseline=True,
                headline="cold",
            )

    def _fillings(self, share: float, own: float) -> Iterator[Variant]:
        mark, where = _whole(share), "IDs hidden" if share else "IDs not hidden"
        changes = {**self.base, "id_dropout": share}
        first = Variant(f"cold=unknown:{mark}", 4, f"One vector, {where}", changes=changes, headline="cold")
        if share != own:
            technique = f"hiding {percent(own)} of the IDs in training"
            first = replace(first, reference=f"cold=unknown:{_whole(own)}", technique=technique, subject="id_dropout")
        yield first
        filled = [
            replace(
                first,
                name=f"cold={filling}:{mark}",
                title=f"{'Neighbours' if filling == 'neighbours' else 'VAE'}, {where}",
                technique=f"{_FILLINGS[filling]} ({where})",
                changes={**changes, "cold_items": filling},
                reference=first.name,
                adds=True,
                subject="filling",
            )
            for filling in ("neighbours", "vae")
        ]
        yield from filled
        yield replace(
            filled[1],
            name=f"cold=vae_over_neighbours:{mark}",
            technique=f"VAE embeddings over the neighbours' mean ({where})",
            reference=filled[0].name,
            subject="filling_over_rule",
            contrast=True,
        )

    def sparsity(self) -> Iterator[Variant]:
        every = Variant("keep=100", 5, "All events", changes=self.base)
        yield every
        yield self._sampled(every, "VAE samples with all events")
        for keep in FULL_KEEPS if self.full else DEFAULT_KEEPS:
            fewer = replace(
                every,
                name=f"keep={_whole(keep)}",
                title=f"{percent(keep)} of the events",
                technique=f"all events over {percent(keep)} of them",
                keep=keep,
                reference=every.name,
                subject="events",
            )
            yield fewer
            yield self._sampled(fewer, f"VAE samples with {percent(keep)} of the events")
        for window in (1, 2) if self.full else (1,):
            earlier = replace(every, name=f"window={window}", title=f"{window_title(window)}", window=window)
            yield earlier
            yield self._sampled(earlier, f"VAE samples, {lowered(window_title(window))}")

    def scorers(self) -> Iterator[Variant]:
        own = self.ncf.scorer
        start = Variant(f"scorer={own}", 0, _capital(_SCORERS[own]), changes={**self.base, "pretrain": False})
        yield start
        for name in ("neumf", "dot", "gmf", *(("mlp",) if self.full else ())):
            if name != own:
                yield replace(
                    start,
                    name=f"scorer={name}",
                    title=_capital(_SCORERS[name]),
                    technique=f"{_SCORERS[own]} over {_SCORERS[name]}",
                    changes={**start.changes, "scorer": name},
                    reference=start.name,
                    subject="scorer",
                )
        if self.full:
            yield replace(
                start,
                name="scorer=neumf+pretrain",
                title="NeuMF, pretrained halves",
                technique="pretraining of NeuMF's halves",
                changes={**start.changes, "scorer": "neumf", "pretrain": True},
                reference="scorer=neumf",
                adds=True,
                subject="scorer",
            )

    def _sampled(self, plain: Variant, technique: str) -> Variant:
        return replace(
            plain,
            name=f"{plain.name}+vae",
            title=f"{plain.title}, VAE",
            technique=technique,
            augmentation="vae",
            degree=self.degree,
            reference=plain.name,
            adds=True,
            subject="vae",
        )

    def _aligned(self, plain: Variant, weight: float) -> Variant:
        return replace(
            plain,
            name=f"{plain.name}+aligned",
            title=f"{plain.title}, aligned",
            technique=f"alignment of text and photos ({lowered(plain.title)})",
            changes={**plain.changes, "alignment": weight},
            reference=plain.name,
            adds=True,
            subject="alignment",
        )


def window_title(window: int) -> str:
    """What a window is called in the report."""
    return "Test window" if window == 0 else "One window earlier" if window == 1 else f"{window} windows earlier"


def _whole(share: float) -> str:
    return f"{100 * share:g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def lowered(text: str) -> str:
    """`text` as it stands inside a sentence; one that starts with an abbreviation stays as it is."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
