"""implicit's item-item model and RecTools' EASE, fitted to given pairs of user and item, and their lists.

Each request answers with its `seconds`; what came out is saved beside the pairs.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from implicit.nearest_neighbours import CosineRecommender
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel
from scipy import sparse
from serving import serve

state: dict = {}


def load(folder: str, threads: int) -> dict:
    torch.set_num_threads(threads)
    state["folder"], state["threads"] = Path(folder), threads
    users, items = np.load(state["folder"] / "pairs.npy")
    ones = np.ones(len(users), np.float32)
    state["pairs"] = sparse.csr_matrix((ones, (users, items)))
    table = pd.DataFrame({Columns.User: users, Columns.Item: items, Columns.Weight: ones})
    table[Columns.Datetime] = "2024-01-01"
    state["dataset"] = Dataset.construct(table)
    return {}


def fit_knn(neighbours: int) -> dict:
    # It counts an item among its own neighbours.
    model = CosineRecommender(K=neighbours + 1, num_threads=state["threads"])
    began = time.perf_counter()
    model.fit(state["pairs"], show_progress=False)
    spent = time.perf_counter() - began
    state["knn"] = model
    sparse.save_npz(state["folder"] / "similarity.npz", sparse.csr_matrix(model.similarity))
    return {"seconds": spent}


def recommend_knn(people: int, k: int) -> dict:
    users = np.arange(people)
    began = time.perf_counter()
    _, scores = state["knn"].recommend(users, state["pairs"][users], N=k, filter_already_liked_items=True)
    spent = time.perf_counter() - began
    np.save(state["folder"] / "knn_scores.npy", scores)
    return {"seconds": spent}


def fit_ease(regularisation: float) -> dict:
    model = EASEModel(regularization=regularisation, recommend_n_threads=state["threads"])
    began = time.perf_counter()
    model.fit(state["dataset"])
    spent = time.perf_counter() - began
    state["ease"] = model
    inside = state["dataset"].item_id_map.convert_to_internal(np.arange(state["pairs"].shape[1]))
    np.save(state["folder"] / "weights.npy", model.weight[np.ix_(inside, inside)])
    return {"seconds": spent}


def recommend_ease(people: int, k: int) -> dict:
    began = time.perf_counter()
    table = state["ease"].recommend(np.arange(people), state["dataset"], k=k, filter_viewed=True)
    spent = time.perf_counter() - began
    table = table.sort_values([Columns.User, Columns.Rank])
    np.save(state["folder"] / "ease_scores.npy", table[Columns.Score].to_numpy().reshape(people, k))
    return {"seconds": spent}


serve(
    {
        "load": load,
        "fit_knn": fit_knn,
        "recommend_knn": recommend_knn,
        "fit_ease": fit_ease,
        "recommend_ease": recommend_ease,
    }
)
