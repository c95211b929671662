"""A fake trainer for the tests of the study: it knows the targets under noise, and counts what it trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fashionrec_assets.catalog.ranking_task import RankingTask, ranking_task
from fashionrec_assets.evaluation.ncf.experiments import measure_study
from fashionrec_assets.evaluation.ncf.study import LeftOutError
from fashionrec_assets.settings import Settings
from fashionrec_assets.towers.run import TrainingError
from fashionrec_assets_tests.evaluation.shop import CUTS, random_shop
from fashionrec_assets_tests.evaluation.test_ranking_report import Noisy


@dataclass
class FakeTrained:
    """`noise` around the truth; cold items are lifted by what fills their embeddings."""

    task: RankingTask
    kept_back: RankingTask
    noise: float
    seed: int
    seconds: float

    def recommender(self, cold_items=None):
        return self._scores(self.task, cold_items)

    def kept_back_recommender(self, cold_items=None):
        return self._scores(self.kept_back, cold_items)

    def _scores(self, task, cold_items):
        found = Noisy.of(task, "ncf", self.noise, self.seed)
        found.scores[:, ~task.warm] += LIFTS[cold_items]
        return found


LIFTS = {"unknown": -0.6, "neighbours": 0.0, "vae": 0.2, None: 0.0}


class FakeTrainer:
    """VAE samples help, random ones hurt, late fusion is worse, fewer events are worse, and a VAE takes its time."""

    def __init__(self, stop_after=None, diverges=None, left_out=None):
        self.trained, self.stop_after, self.diverges, self.left_out = [], stop_after, diverges, left_out

    def noise(self, variant):
        settings = variant.settings(Settings().ncf)
        noise = {"early": 0.5, "intermediate": 0.5, "late": 0.9}[settings.fusion]
        noise *= {None: 1.0, "vae": 0.6, "random": 1.6}.get(variant.augmentation, 0.9)
        return noise * (1.0 + 0.5 * (1 - variant.keep)) * (1.0 if "id" in settings.modalities else 1.5)

    def __call__(self, variant, log, task, seed):
        if self.stop_after is not None and len(self.trained) == self.stop_after:
            raise KeyboardInterrupt
        if variant.augmentation == self.left_out and self.left_out:
            raise LeftOutError("no item has attributes")
        if self.diverges and variant.name == self.diverges:
            raise TrainingError("the loss became nan")
        assert not variant.baseline
        assert log.times.max() < task.start
        self.trained.append((variant, len(log), task.name, seed))
        length = task.end - task.start
        kept_back = ranking_task(
            task.history, name="kept back", start=task.start - length, end=task.start, max_cold_users=0
        )
        seconds = 9.0 if variant.augmentation == "vae" else 2.0
        return FakeTrained(task, kept_back, self.noise(variant), seed, seconds)


def settings_of(**evaluation):
    small = {"k": (5, 10), "bootstrap": 200, "ncf_seeds": 1}
    return Settings(evaluation={**small, **evaluation})


def content_of(n_items, seed=0):
    return np.random.default_rng(seed).normal(size=(n_items, 8)).astype(np.float32)


def study(work, trainer=None, *, views=("text", "image"), heard=None, recipe="a", users=160, **evaluation):
    """The report, and the trainer that was used."""
    trainer = trainer or FakeTrainer()
    log, launched = random_shop(4, n_users=users)
    report = measure_study(
        log,
        CUTS,
        settings_of(**evaluation),
        trainer,
        views=views,
        content=content_of(log.n_items) if views else None,
        launched_at=launched,
        epochs=2,
        work=work,
        recipe={"data": recipe},
        progress=(lambda done, total: None) if heard is None else lambda done, total: heard.append((done, total)),
    )
    return report, trainer
