"""Training of our two-tower model beside RecBole's SASRec: the same log, dimensions, history, layers, rows of a batch.

`FASHIONREC_BENCH_PYTHON=... python -m fashionrec_assets_tests.benchmarks.training [--quick] [--device cuda]`. 400,000
events of 10,000 people with 20,000 items, 64 dimensions, 1 layer of 2 heads, histories of 50, 2 threads on both sides.

What a row is differs. RecBole makes one of every event (the history before it, with one target); ours is a history, of
which every token has a target. The bar is therefore judged by the seconds of an epoch over the same log: both have then
learned from each of its events once. Rows and targets a second are stated beside it. RecBole's loss is its full softmax
(CE), which is what our sampled one stands for, and also BPR with one negative, the cheapest it has; its batches are of
as many rows as ours, and of as many as its defaults have. Our model is the one of a shop, with IDs alone: its item
tower, its intent of the session and its running average of the weights are in its times.

RecBole's epochs are measured by the first steps of one, whose rows are a random sample: of 64 rows it has 6,000 of
them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.resources.models import best_device, fastest_precision
from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.features import ItemFeatures
from fashionrec_assets.towers.training import train_two_tower
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, Growth, Others, command_line, tell

THREADS = 2
BAR = 0.5
ROWS, RECBOLE_ROWS = 64, 2048
SETTINGS = TwoTowerSettings(modalities=("id",), new_items_only=False, batch_size=ROWS)
_DAY = 86_400


@dataclass(frozen=True)
class Size:
    """Of a log, and of what is measured: `steps` of RecBole by kind, and `rounds`."""

    events: int
    users: int
    items: int
    rounds: int
    steps: dict[tuple[str, int], int]


FULL = Size(
    400_000,
    10_000,
    20_000,
    3,
    {("CE", ROWS): 100, ("CE", RECBOLE_ROWS): 3, ("BPR", ROWS): 100, ("BPR", RECBOLE_ROWS): 4},
)
QUICK = Size(
    8_000, 300, 1_000, 1, {("CE", ROWS): 5, ("CE", RECBOLE_ROWS): 1, ("BPR", ROWS): 5, ("BPR", RECBOLE_ROWS): 1}
)


def made_log(size: Size, seed: int = 0) -> EventLog:
    """Events of 90 days: few people and few items have most of them, and people keep to a tenth of the items."""
    rng = np.random.default_rng(seed)
    activity = rng.pareto(1.5, size.users) + 0.3
    users = np.sort(rng.choice(size.users, size.events, p=activity / activity.sum())).astype(np.int32)
    popularity = np.cumsum(1 / np.arange(1, size.items + 1) ** 0.8)
    drawn = np.searchsorted(popularity, rng.random(size.events) * popularity[-1])
    kept = rng.random(size.events) < 0.7
    items = np.where(kept, drawn // 10 * 10 + users % 10, drawn).clip(0, size.items - 1)
    times = rng.integers(1_700_000_000, 1_700_000_000 + 90 * _DAY, size.events)
    order = np.lexsort((items, times, users))
    return EventLog(
        user_ids=np.array([f"u{number:07d}" for number in range(size.users)]),
        item_ids=np.array([f"i{number:07d}" for number in range(size.items)]),
        users=users,
        items=items[order].astype(np.int32),
        times=times[order],
        behaviours=np.zeros(size.events, np.int8),
    )


def measure(quick: bool = False) -> list[Comparison | Growth]:
    """One comparison for each loss and batch of RecBole; ours is the same in all of them."""
    size, device = QUICK if quick else FULL, best_device()
    torch.set_num_threads(THREADS)
    log = made_log(size)
    features = ItemFeatures.build(log.item_ids)
    ours: list[float] = []
    theirs: dict[tuple[str, int], list[float]] = {kind: [] for kind in size.steps}
    with tempfile.TemporaryDirectory() as folder:
        _write(log, Path(folder))
        others = Others("sasrec")
        facts = others.ask(
            "load",
            folder=folder,
            kinds=list(size.steps),
            model={
                "hidden_size": SETTINGS.dim,
                "inner_size": 4 * SETTINGS.dim,
                "n_layers": SETTINGS.layers,
                "n_heads": SETTINGS.heads,
                "hidden_dropout_prob": SETTINGS.dropout,
                "attn_dropout_prob": SETTINGS.dropout,
                "MAX_ITEM_LIST_LENGTH": SETTINGS.history,
                "learning_rate": 1e-3,
            },
            threads=THREADS,
            device=device,
        )

        def of_recbole(kind: tuple[str, int]) -> float:
            said = others.ask("train", kind=f"{kind[0]} {kind[1]}", steps=size.steps[kind])
            return said["seconds"] * facts["rows"] / said["rows"]

        for number in range(1 + size.rounds):
            turns: list[tuple[list[float], Callable[[], float]]] = [(ours, lambda: epoch_seconds(log, features))]
            turns += [(times, lambda kind=kind: of_recbole(kind)) for kind, times in theirs.items()]
            for times, run in turns if number % 2 == 0 else turns[::-1]:
                spent = run()
                if number:
                    times.append(spent)
        others.close()
    active = np.bincount(log.users, minlength=log.n_users)
    # A row for every event but a person's first, and one for whoever has a single one.
    learned = int(np.maximum(active[active > 0] - 1, 1).sum())
    assert facts["rows"] == learned, f"RecBole trains on {facts['rows']} targets, not on {learned}"
    windows = rows_of(log)
    said = (
        f"{size.events} events, {size.users} people, {size.items} items; dim {SETTINGS.dim}, {SETTINGS.layers} layer, "
        f"history {SETTINGS.history}; {THREADS} threads, {device}"
    )
    return [
        Comparison(
            f"an epoch over the same log, ours in batches of {ROWS} rows",
            f"RecBole SASRec, {'full softmax (CE)' if loss == 'CE' else 'BPR'}, batches of {rows} rows",
            ours,
            times,
            bar=BAR if loss == "CE" else None,
            equal="the log, and one epoch of it",
            note=f"{said}; events learned a second: {size.events / np.median(ours):,.0f}, theirs "
            f"{facts['rows'] / np.median(times):,.0f}; rows a second: {windows / np.median(ours):,.0f} (up to "
            f"{SETTINGS.history} targets each), theirs {facts['rows'] / np.median(times):,.0f} (one target each)",
        )
        for (loss, rows), times in theirs.items()
    ]


def epoch_seconds(log: EventLog, features: ItemFeatures) -> float:
    """Of one epoch of ours, from the first batch to the last step."""
    return train_two_tower(log, features, SETTINGS, seed=0, data_digest="benchmark", epochs=1).curve[0].seconds


def rows_of(log: EventLog) -> int:
    """Rows of ours in an epoch: histories of at most `SETTINGS.history` events."""
    return int((-(-np.bincount(log.users) // SETTINGS.history)).sum())


def _write(log: EventLog, folder: Path) -> None:
    """The log, and two more events of everyone in it at its end, which RecBole keeps for validation and test."""
    active = np.unique(log.users)
    end = int(log.times.max())
    np.savez(
        folder / "log.npz",
        users=np.concatenate([log.users, active, active]),
        items=np.concatenate([log.items, log.items[: len(active)], log.items[: len(active)]]),
        times=np.concatenate([log.times, np.full(len(active), end + 1), np.full(len(active), end + 2)]),
    )


def use_of_device(size: Size) -> str:
    """Targets a second of one epoch, and its share of the arithmetic that the device does in products of matrices."""
    from torch.utils.flop_counter import FlopCounterMode

    log = made_log(size)
    features = ItemFeatures.build(log.item_ids)
    with FlopCounterMode(display=False) as counter:
        epoch_seconds(log, features)
    seconds = epoch_seconds(log, features)
    device = best_device()
    rate, peak = counter.get_total_flops() / seconds, products_a_second(device)
    return (
        f"{device}, {fastest_precision(device, training=True)}: {rows_of(log) / ROWS / seconds:.1f} steps and "
        f"{size.events / seconds:,.0f} events learned a second, "
        f"{rate / 1e9:,.1f} Gflop a second, {rate / peak:.1%} of the {peak / 1e9:,.0f} of products of large matrices"
    )


def products_a_second(device: str, width: int = 4096) -> float:
    """Floating-point operations a second of products of large matrices in the precision of training."""
    dtype = getattr(torch, fastest_precision(device, training=True))
    width = width if device != "cpu" else width // 4
    a, b = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
    spent = []
    for _ in range(6):
        began = time.perf_counter()
        for _ in range(4):
            torch.mm(a, b)
        if device != "cpu":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - began)
    return 4 * 2 * width**3 / min(spent)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="what to train on; default: the GPU if there is one")
    parser.add_argument("--use", action="store_true", help="only the share of the device's arithmetic that is used")
    given = parser.parse_args()
    if given.device == "cuda" and best_device() != "cuda":
        parser.error("there is no GPU that torch can use")
    if given.device == "cpu" and best_device() != "cpu":
        parser.error("there is a GPU: to train on the processor, run with CUDA_VISIBLE_DEVICES= (nothing after it)")
    console = Console()
    if given.use:
        torch.set_num_threads(THREADS)
        console.print(use_of_device(QUICK if given.quick else FULL))
        return
    tell("training", measure(given.quick), quick=given.quick)


if __name__ == "__main__":
    main()
