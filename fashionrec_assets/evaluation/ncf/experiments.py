"""The study from a log to its report: which variants, which windows, which seeds.

Belongs here: putting the parts together. Does not belong here: reading the shop and training (`inputs.py`), the parts
themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import Cuts, EventLog
from fashionrec_assets.evaluation.ncf.grid import variants
from fashionrec_assets.evaluation.ncf.report import NcfReport, WindowFacts, judged
from fashionrec_assets.evaluation.ncf.study import Trainer, run_study, windows_of
from fashionrec_assets.settings import Settings

_READ = ("k", "target_behaviours", "max_cold_users", "ablation_users", "ablation_events", "ncf_users")
"""Settings of the evaluation that the figures of one model depend on."""


def measure_study(
    log: EventLog,
    cuts: Cuts,
    settings: Settings,
    train: Trainer,
    *,
    views: Sequence[str],
    content: NDArray[np.float32] | None,
    launched_at: NDArray[np.int64] | None,
    epochs: int,
    work: Path,
    recipe: Mapping[str, object],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NcfReport:
    """Trains, measures and judges the experiments of `settings.evaluation.ncf_experiments`.

    `views`: the modalities the shop's items have, of text and image. `content` float32 (n_items, d): their pooled
    vectors, from `pooled_content`, None without any. `launched_at`: as of `ranking_task`. `epochs`: what `train` goes
    to at most. `recipe`: the versions of what `train` reads. Raises ValueError if nobody can be evaluated.
    """
    limits = settings.evaluation
    grid = variants(settings, views, limits.ncf_grid, limits.ncf_experiments)
    numbers = {variant.window for variant in grid}
    windows = windows_of(log, cuts, numbers, limits, launched_at=launched_at, seed=settings.seed)
    if 0 not in windows:
        raise ValueError("nobody with a history has a new item in the test window: raise splits.test_days")
    runs = run_study(
        grid,
        settings.ncf,
        windows,
        train,
        content=content,
        seeds=[settings.seed + number for number in range(limits.ncf_seeds)],
        k=max(limits.k),
        work=work,
        recipe={
            **recipe,
            "evaluation": {name: settings.value(f"evaluation.{name}") for name in _READ},
            "synthesis": settings.value("synthesis"),
            "seed": settings.seed,
            "epochs": epochs,
        },
        progress=progress,
    )
    return NcfReport(
        grid=limits.ncf_grid,
        k=max(limits.k),
        epochs=epochs,
        windows=tuple(WindowFacts.of(number, window) for number, window in windows.items()),
        planned=grid,
        outcomes=judged(grid, runs, draws=limits.bootstrap, seed=settings.seed),
        left_out=runs.left_out,
        notes=runs.notes,
    )
