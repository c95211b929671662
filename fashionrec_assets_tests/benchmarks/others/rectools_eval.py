"""RecTools: its rankers over factors, and its metrics of the recommended tables.

`measure` takes the metrics of given lists, `recommend` ranks and takes them; both answer with their seconds.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rectools import Columns
from rectools.metrics import MRR, NDCG, Precision, Recall, calc_metrics
from rectools.models.rank import Distance, ImplicitRanker, TorchRanker
from scipy import sparse
from serving import serve

state: dict = {}


def load(folder: str, ks: list[int], block: int, threads: int) -> dict:
    torch.set_num_threads(threads)
    place = Path(folder)
    users, items = (np.load(place / f"{name}_factors.npy") for name in ("user", "item"))
    history, targets = np.load(place / "history.npy"), np.load(place / "targets.npy")
    ones = np.ones(history.shape[1], np.float32)
    state["seen"] = sparse.csr_matrix((ones, (history[0], history[1])), shape=(len(users), len(items)))
    state["targets"] = pd.DataFrame({Columns.User: targets[0], Columns.Item: targets[1]})
    state["rankers"] = {
        "implicit": ImplicitRanker(Distance.DOT, users, items, num_threads=threads),
        "torch": TorchRanker(Distance.DOT, "cpu", users, items, batch_size=block),
    }
    state["ks"], state["users"] = ks, np.arange(len(users))
    state["metrics"] = {
        name + f"@{k}": metric
        for k in ks
        for name, metric in (
            ("recall", Recall(k=k)),
            ("precision", Precision(k=k)),
            ("ndcg", NDCG(k=k, divide_by_achievable=True)),
            ("mrr", MRR(k=k)),
        )
    }
    lists = np.load(place / "lists.npy")
    state["table"] = _table(np.repeat(state["users"], lists.shape[1]), lists.ravel())
    return {}


def measure() -> dict:
    began = time.perf_counter()
    return _answer(state["table"], began)


def recommend(ranker: str) -> dict:
    began = time.perf_counter()
    users, items, _ = state["rankers"][ranker].rank(state["users"], k=max(state["ks"]), filter_pairs_csr=state["seen"])
    return _answer(_table(users, items), began)


def _table(users, items) -> pd.DataFrame:
    table = pd.DataFrame({Columns.User: users, Columns.Item: items})
    table[Columns.Rank] = table.groupby(Columns.User, sort=False).cumcount() + 1
    return table


def _answer(table: pd.DataFrame, began: float) -> dict:
    found = calc_metrics(state["metrics"], table, state["targets"])
    return {"seconds": time.perf_counter() - began, "metrics": {name: float(value) for name, value in found.items()}}


serve({"load": load, "measure": measure, "recommend": recommend})
