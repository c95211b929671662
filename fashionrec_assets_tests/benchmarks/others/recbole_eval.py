"""RecBole's full-sort evaluation: its collector and its evaluator over blocks of scores.

`load` reads the factors and the interactions, `evaluate` answers with the seconds of the evaluation alone (scores are
made outside of them, as the model's part) and the metrics.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

# RecBole 1.2.1 says `np.float`, which numpy took away after 1.23: without this, its NDCG and MRR do not run.
np.float = float  # type: ignore[attr-defined]

import torch  # noqa: E402
from recbole.evaluator import Collector, Evaluator  # noqa: E402
from serving import serve  # noqa: E402

_MADE_AT_ONCE = 64

state: dict = {}


def load(folder: str, ks: list[int], block: int, threads: int) -> dict:
    torch.set_num_threads(threads)
    place = Path(folder)
    for name in ("user_factors", "item_factors"):
        state[name] = torch.from_numpy(np.load(place / f"{name}.npy"))
    n_users = len(state["user_factors"])
    # What RecBole's loader of evaluation data hands over with a block: places of the history and of the positives. Its
    # item 0 is padding.
    pairs = {name: np.load(place / f"{name}.npy") for name in ("history", "targets")}
    blocks = []
    for start in range(0, n_users, block):
        stop = min(start + block, n_users)
        places = []
        for name in ("history", "targets"):
            users, items = pairs[name]
            first, last = np.searchsorted(users, [start, stop])
            places.append((torch.from_numpy(users[first:last] - start), torch.from_numpy(items[first:last] + 1)))
        blocks.append((slice(start, stop), *places))
    state["blocks"] = blocks
    state["config"] = {
        "metrics": ["Recall", "NDCG", "Precision", "MRR"],
        "topk": ks,
        "metric_decimal_place": 12,
        "eval_args": {"mode": "full"},
        "device": torch.device("cpu"),
    }
    return {}


def evaluate() -> dict:
    collector, evaluator = Collector(state["config"]), Evaluator(state["config"])
    spent = 0.0
    made_from, several = 0, torch.empty((0, 0))
    scores = None
    for users, history, (positive_u, positive_i) in state["blocks"]:
        # Outside of the clock: scores of few people at a time cost many times as much to make.
        if users.stop > made_from + len(several):
            made_from = users.start
            last = max(users.stop, users.start + _MADE_AT_ONCE)
            several = state["user_factors"][made_from:last] @ state["item_factors"].T
        made = several[users.start - made_from : users.stop - made_from]
        if scores is None or len(scores) != len(made):
            scores = torch.empty((len(made), made.shape[1] + 1))
        scores[:, 1:] = made
        began = time.perf_counter()
        scores[:, 0] = -np.inf
        scores[history] = -np.inf
        collector.eval_batch_collect(scores, None, positive_u, positive_i)
        spent += time.perf_counter() - began
    began = time.perf_counter()
    metrics = evaluator.evaluate(collector.get_data_struct())
    spent += time.perf_counter() - began
    return {"seconds": spent, "metrics": {name: float(value) for name, value in metrics.items()}}


serve({"load": load, "evaluate": evaluate})
