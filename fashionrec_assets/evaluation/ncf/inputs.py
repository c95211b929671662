"""From a shop to the study's report: what is read, and how a variant becomes a trained model.

Belongs here: binding the study to NCF. Does not belong here: measuring (`study.py`), variants (`grid.py`), layout
(`page.py`), Dagster.

Training sees the sampled events before the window, less the last days of the people who are kept back. What the
variants of a window share is made once: reduced token states, and a generator of synthetic rows for all degrees.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.catalog.reading import cuts
from fashionrec_assets.evaluation.baselines.content_knn import pooled_content
from fashionrec_assets.evaluation.ncf.experiments import measure_study
from fashionrec_assets.evaluation.ncf.grid import Variant
from fashionrec_assets.evaluation.ncf.report import NcfReport
from fashionrec_assets.evaluation.ncf.study import LeftOutError, work_folder
from fashionrec_assets.evaluation.recommender import Entrant, Recommender
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import SynthesisSettings
from fashionrec_assets.synthesis.reading import item_content
from fashionrec_assets.synthesis.reduction import TooFewRowsError
from fashionrec_assets.synthesis.rows import ItemContent
from fashionrec_assets.towers.ncf.augmentation import Source
from fashionrec_assets.towers.ncf.cold_items import Filling
from fashionrec_assets.towers.ncf.examples import KeptBack
from fashionrec_assets.towers.ncf.reading import NcfInputs
from fashionrec_assets.towers.popularity import PopularityHistory

if TYPE_CHECKING:
    from fashionrec_assets.towers.ncf.cross_modal import TokenTensors
    from fashionrec_assets.towers.ncf.training import TrainedNcf

WEIGHT, TEMPERATURE = 0.3, 1.0
"""Of synthetic rows, where the settings leave them to the sweep: the same for all kinds, and nothing is chosen here."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class TrainedVariant:
    """A trained model with what its recommenders read; `seconds` with the making of synthetic rows."""

    trained: TrainedNcf
    inputs: NcfInputs
    kept: KeptBack
    states: TokenTensors
    task: RankingTask
    synthesis: SynthesisSettings
    making: float
    seed: int

    @property
    def seconds(self) -> float:
        return self.trained.seconds + self.making

    @property
    def kept_back(self) -> RankingTask:
        return self.kept.task

    @cached_property
    def _popularity(self) -> PopularityHistory:
        return PopularityHistory.of(self.kept.training, self.trained.model.settings.popularity_half_lives)

    def recommender(self, cold_items: str | None = None) -> Recommender:
        """For the people of the task, from their whole history."""
        from fashionrec_assets.towers.ncf.recommender import recommender_of

        return recommender_of(
            self.trained.model,
            self.task.history,
            self.inputs.items,
            self.inputs.users,
            self.synthesis,
            filling=cast(Filling | None, cold_items),
            states=self.states,
            seed=self.seed,
        )

    def kept_back_recommender(self, cold_items: str | None = None) -> Recommender:
        """For the people kept back, as of where their own window starts."""
        from fashionrec_assets.towers.ncf.recommender import kept_back_recommender

        return kept_back_recommender(
            self.trained.model,
            self.kept,
            self.inputs.items,
            self.inputs.users,
            self.states,
            self._popularity,
            filling=cast(Filling, cold_items or "unknown"),
            settings=self.synthesis,
            seed=self.seed,
        )


class NcfTrainer:
    """Trains a variant (`study.Trainer`)."""

    def __init__(self, shop: Shop, inputs: NcfInputs, epochs: int) -> None:
        self._shop, self._inputs, self._epochs = shop, inputs, epochs
        self._kept: dict[Hashable, object] = {}

    def __call__(self, variant: Variant, log: EventLog, task: RankingTask, seed: int) -> TrainedVariant:
        """Raises LeftOutError where there are too few rows for a VAE, TrainingError."""
        from fashionrec_assets.towers.ncf.training import reduce_tokens, train_ncf

        inputs, settings = self._inputs, variant.settings(self._inputs.settings.ncf)
        events = (task.start, len(log), seed if variant.keep < 1 else None)
        kept = self._once(("kept", events), lambda: inputs.keep_back(log, task.start))
        reduced = self._once(
            ("tokens", events, settings.token_dim), lambda: reduce_tokens(kept.training, inputs.items, settings)
        )
        rows, making = None, 0.0
        if variant.augmentation is not None and variant.degree:
            source, making = self._source(variant, kept, task, events, seed)
            started = time.perf_counter()
            synthesis = inputs.settings.synthesis
            rows = source.draw(
                variant.degree,
                weight=WEIGHT if synthesis.weight is None else synthesis.weight,
                temperature=synthesis.temperature or TEMPERATURE,
                seed=seed,
            )
            making += time.perf_counter() - started
        trained = train_ncf(
            kept,
            inputs.items,
            inputs.users,
            settings,
            seed=seed,
            synthetic=rows,
            reduced=reduced,
            epochs=self._epochs,
        )
        return TrainedVariant(trained, inputs, kept, reduced[1], task, inputs.settings.synthesis, making, seed)

    def _source(
        self, variant: Variant, kept: KeptBack, task: RankingTask, events: Hashable, seed: int
    ) -> tuple[Source, float]:
        """The generator, and the seconds it took when it was made."""
        kind = variant.augmentation
        assert kind is not None

        def made() -> tuple[Source, float]:
            started = time.perf_counter()
            content: ItemContent = self._once(
                ("content", task.start), lambda: item_content(self._shop, task.history, task.start)
            )
            try:
                source = Source.of(kind, kept.training, content, self._inputs.settings.synthesis, seed=seed)
            except TooFewRowsError as error:
                raise LeftOutError(str(error)) from error
            return source, time.perf_counter() - started

        return self._once(("source", kind, events, seed), made)

    def _once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        if key not in self._kept:
            self._kept[key] = make()
        return cast(Made, self._kept[key])


def ncf_entrant(shop: Shop, test: RankingTask) -> Entrant:
    """The NCF model in force, as it enters the ranking report."""
    from fashionrec_assets.towers.ncf.model import Ncf
    from fashionrec_assets.towers.ncf.recommender import recommender_of

    inputs, folder = NcfInputs.of(shop), shop.current("ncf_model")
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    started = time.perf_counter()
    recommender = recommender_of(
        Ncf.load(folder),
        test.history,
        inputs.items,
        inputs.users,
        shop.settings.synthesis,
        lift=summary["lift"],
        seed=shop.settings.seed,
    )
    return Entrant(
        recommender,
        summary["seconds"] + time.perf_counter() - started,
        "NCF",
        "NeuMF over text tokens and image patches fused by cross-modal attention; IDs of new items are generated.",
        is_baseline=False,
    )


def measure_ncf(shop: Shop, progress: Callable[[int, int], None]) -> NcfReport:
    """Trains, measures and judges the experiments; finished models' figures are kept in `<home>/work` until then.

    Raises LookupError without an NCF model, ValueError if nobody can be evaluated.
    """
    inputs, settings = NcfInputs.of(shop), shop.settings
    epochs = min(settings.ncf.epochs, settings.evaluation.ablation_epochs)
    pooled = [
        (modality.values, modality.present) for modality in inputs.items.pooled.values() if modality.present.any()
    ]
    return measure_study(
        inputs.log,
        cuts(shop),
        settings,
        NcfTrainer(shop, inputs, epochs),
        views=inputs.items.views,
        content=pooled_content(pooled) if pooled else None,
        launched_at=inputs.launched_at,
        epochs=epochs,
        work=work_folder(shop.home),
        recipe={
            "model": shop.model_id("ncf_model"),
            "events": shop.version("interactions_file"),
            "users": shop.version("users_file"),
            **{name: shop.digest(name) for name in ("text_tokens", "image_tokens", "items")},
        },
        progress=progress,
    )
