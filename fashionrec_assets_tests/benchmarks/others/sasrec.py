"""RecBole's SASRec in training: its own dataset, loaders and trainer, as its documentation puts them together.

`load` reads the log and makes a model of each asked kind, `train` answers with the seconds of a number of steps of
`Trainer._train_epoch`, and how many rows and targets they had. RecBole keeps each user's last two events for its
validation and test: the log it is given has two more events of every user, so that it trains on the one that we do.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np

# RecBole 1.2.1 says `np.float`, which numpy took away after 1.23.
np.float = float  # type: ignore[attr-defined]

import torch  # noqa: E402
from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.model.sequential_recommender import SASRec  # noqa: E402
from recbole.trainer import Trainer  # noqa: E402
from recbole.utils import init_seed  # noqa: E402
from serving import serve  # noqa: E402

trainers: dict = {}


def load(folder: str, kinds: list[tuple[str, int]], model: dict, threads: int, device: str) -> dict:
    """`kinds`: loss (CE or BPR) and rows of a batch; `model`: RecBole's settings of SASRec."""
    torch.set_num_threads(threads)
    log = np.load(Path(folder) / "log.npz")
    place = Path(folder) / "shop"
    place.mkdir(exist_ok=True)
    rows = np.stack([log["users"], log["items"], log["times"]], axis=1)
    np.savetxt(
        place / "shop.inter",
        rows,
        fmt="%d",
        delimiter="\t",
        header="user_id:token\titem_id:token\ttimestamp:float",
        comments="",
    )
    facts = {}
    for loss, batch in kinds:
        config = Config(
            model="SASRec",
            dataset="shop",
            config_dict={
                **model,
                "data_path": folder,
                "checkpoint_dir": folder,
                "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
                "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
                "loss_type": loss,
                "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1} if loss == "BPR" else None,
                "train_batch_size": batch,
                "use_gpu": device != "cpu",
                "show_progress": False,
                "seed": 0,
            },
        )
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        made = SASRec(config, train.dataset).to(config["device"])
        trainers[f"{loss} {batch}"] = Trainer(config, made), train
        facts = {"rows": len(train.dataset), "items": dataset.item_num - 1}
    return facts


def train(kind: str, steps: int) -> dict:
    """`steps` steps of an epoch in which all rows are in a new random order."""
    trainer, loader = trainers[kind]
    began = time.perf_counter()
    loss = trainer._train_epoch(itertools.islice(loader, steps), 0)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    done = min(steps, len(loader))
    rows = min(done * loader._batch_size, len(loader.dataset))
    return {"seconds": time.perf_counter() - began, "rows": rows, "loss": loss / done}


serve({"load": load, "train": train})
