"""The truth behind a sample shop: written by `shop`, read only by tests and evaluation.

Belongs here: the files of the truth folder, and the oracle's utilities. Does not belong here: anything a model may be
trained on.

Files: `truth.json` (format, parameters, period); `items.parquet` and `users.parquet` (in the row order of the arrays);
`item_factors.npy` (I, d), `user_factors.npy` (U, d), `intent_factors.npy` (U, M, d), `intent_shares.npy` (U, M) and
`test_day_bias.npy` (D, I), all float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FORMAT = 1
_ARRAYS = ("item_factors", "user_factors", "intent_factors", "intent_shares", "test_day_bias")
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Truth:
    """What the simulator knows. `items`, `users`: one row per item and user, in the order of the arrays.

    Of each session's hidden intent, only its distribution given everything before the test period is used.
    """

    meta: Mapping[str, Any]
    items: pd.DataFrame
    users: pd.DataFrame
    item_factors: NDArray[np.float32]
    user_factors: NDArray[np.float32]
    intent_factors: NDArray[np.float32]
    intent_shares: NDArray[np.float32]
    test_day_bias: NDArray[np.float32]

    def utility(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> NDArray[np.float32]:
        """float32 (len(user_ids), len(item_ids)): log of the expected choice probability in the test period.

        The probability that a view of the user, on a day of the test period and under an intent drawn from their
        distribution, is of the item: the mean over days and intents of the session's softmax over the items then
        launched. Minus infinity for items the shop does not have or had not launched. Bots choose uniformly; users
        the truth does not know get the mean over users.
        """
        user_rows = pd.Index(self.users["user_id"]).get_indexer(pd.Index(list(user_ids)))
        item_rows = pd.Index(self.items["item_id"]).get_indexer(pd.Index(list(item_ids)))
        bots = self.users["is_bot"].to_numpy(dtype=bool)
        out = np.full((len(user_rows), len(item_rows)), -np.inf, np.float32)
        known_items = item_rows >= 0
        launched = np.isfinite(self.test_day_bias).any(axis=0)
        people = np.flatnonzero(user_rows >= 0)
        step = max(1, _CHUNK // max(len(self.item_factors), 1))
        for at in range(0, len(people), step):
            rows = people[at : at + step]
            share = self._shares(user_rows[rows])
            share[bots[user_rows[rows]]] = launched / launched.sum()
            out[np.ix_(rows, known_items)] = _log(share[:, item_rows[known_items]])
        strangers = np.flatnonzero(user_rows < 0)
        if len(strangers):
            out[np.ix_(strangers, known_items)] = _log(self._mean_share()[item_rows[known_items]])
        return out

    def _shares(self, users: NDArray[np.int64]) -> NDArray[np.float64]:
        total = np.zeros((len(users), len(self.item_factors)))
        for intent in range(self.intent_factors.shape[1]):
            wants = self.user_factors[users] + self.intent_factors[users, intent]
            scores = wants @ self.item_factors.T
            weight = self.intent_shares[users, intent, None] / len(self.test_day_bias)
            for bias in self.test_day_bias:
                logits = scores + bias
                logits -= logits.max(axis=1, keepdims=True)
                np.exp(logits, out=logits)
                total += logits * (weight / logits.sum(axis=1, keepdims=True))
        return total

    def _mean_share(self) -> NDArray[np.float64]:
        people = np.flatnonzero(~self.users["is_bot"].to_numpy(dtype=bool))
        sample = people[:: max(1, len(people) // 500)]
        return self._shares(sample).mean(axis=0)


def _log(share: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        return np.log(share).astype(np.float32)


def save_truth(truth: Truth, folder: Path) -> None:
    """Write the truth into `folder`, which is made if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    truth.items.to_parquet(folder / "items.parquet", index=False)
    truth.users.to_parquet(folder / "users.parquet", index=False)
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", getattr(truth, name), allow_pickle=False)
    text = json.dumps({"format": FORMAT, **truth.meta}, indent=2, sort_keys=True)
    (folder / "truth.json").write_text(text + "\n", encoding="utf-8")


def load_truth(folder: Path) -> Truth:
    """Read what `save_truth` wrote. Raises FileNotFoundError or ValueError where the folder holds no such truth."""
    folder = Path(folder)
    path = folder / "truth.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: generate the shop again, or name its truth folder")
    meta = json.loads(path.read_text(encoding="utf-8"))
    if meta.get("format") != FORMAT:
        raise ValueError(f"{path} has format {meta.get('format')!r}, not {FORMAT}: generate the shop again")
    arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _ARRAYS}
    items, users = pd.read_parquet(folder / "items.parquet"), pd.read_parquet(folder / "users.parquet")
    if len(items) != len(arrays["item_factors"]) or len(users) != len(arrays["user_factors"]):
        raise ValueError(f"the files of {folder} do not belong together: generate the shop again")
    return Truth(meta=meta, items=items, users=users, **arrays)
