"""No pickle is read or written: a pickle is a program, and reading one runs it.

What the guard covers: Python tells its audit hooks (event `pickle.find_class`) whenever any unpickler of the standard
library, in C or in Python, is about to fetch a class or function by name, which is the step that makes a pickle a
program. While the guard is up that is an error, whoever asks: this package, torch (`weights_only=False`), NumPy
(`allow_pickle=True`), joblib, pandas, cloudpickle. It does not see `torch.load(weights_only=True)`, which has an
unpickler of its own that knows tensors only, nor a pickle of plain numbers and texts, which can do nothing.

What it does not cover: processes that the multiprocess executor of Dagster starts are handed their arguments by
`multiprocessing`, as pickles from their own parent; no file of a home is read that way.
"""

from __future__ import annotations

import ast
import io
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import fashionrec_assets
from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.settings import TextSettings
from fashionrec_assets_tests.end_to_end.place import Place

PACKAGE = Path(str(fashionrec_assets.__file__)).parent
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

_up = False


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _up and event == "pickle.find_class":
        raise PermissionError(f"a pickle asks for {arguments[0]}.{arguments[1]}")


@contextmanager
def no_pickle() -> Iterator[None]:
    """While it lasts, no pickle of this process gets at a class or function. A hook of Python cannot be taken back."""
    global _up
    if not getattr(sys, "_fashionrec_no_pickle", False):
        sys.addaudithook(_hook)
        sys._fashionrec_no_pickle = True  # pyright: ignore[reportAttributeAccessIssue]
    _up = True
    try:
        yield
    finally:
        _up = False


class Program:
    """What someone else's pickle may hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this could have been anything",)


def test_the_guard_stops_pickles_whoever_reads_them(tmp_path: Path) -> None:
    import joblib
    import pandas as pd
    import torch

    data = pickle.dumps(Program())
    (tmp_path / "a.pkl").write_bytes(data)
    torch.save(Program(), tmp_path / "a.pt")
    np.save(tmp_path / "a.npy", np.array([Program()], dtype=object), allow_pickle=True)
    readers = (
        lambda: pickle.loads(data),
        lambda: pickle.Unpickler(io.BytesIO(data)).load(),
        lambda: pickle._Unpickler(io.BytesIO(data)).load(),  # pyright: ignore[reportAttributeAccessIssue]
        lambda: pd.read_pickle(tmp_path / "a.pkl"),
        lambda: joblib.load(tmp_path / "a.pkl"),
        lambda: torch.load(tmp_path / "a.pt", weights_only=False),
        lambda: np.load(tmp_path / "a.npy", allow_pickle=True),
    )
    for read in readers:
        with no_pickle(), pytest.raises(PermissionError, match="a pickle asks for"):
            read()
    with no_pickle(), pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "a.pt", weights_only=True)
    with no_pickle(), pytest.raises(ValueError, match="allow_pickle"):
        np.load(tmp_path / "a.npy")


def models_of(place: Place) -> Iterator[object]:
    """Every kind of model of a finished home, loaded as the lineage does."""
    from fashionrec_assets.embeddings.encoders import Encoders
    from fashionrec_assets.embeddings.sentences import SentenceEncoder
    from fashionrec_assets.index.item_index import ItemIndex
    from fashionrec_assets.ranking.ranker import Ranker
    from fashionrec_assets.recommendations.feedback.strategies import Strategies
    from fashionrec_assets.recommendations.outfits.compatibility import Compatibility
    from fashionrec_assets.recommendations.styles.clusters import StyleModel
    from fashionrec_assets.synthesis.conditional_vae import RowVae
    from fashionrec_assets.synthesis.embedding_vae import EmbeddingVae
    from fashionrec_assets.towers.artifact import TwoTower
    from fashionrec_assets.towers.ncf.model import Ncf

    shop = place.shop()
    yield SentenceEncoder(TextSettings().model).encode(["a red dress"])
    yield Encoders(shop).clip_with_text
    for name in ("served", "evaluation"):
        yield TwoTower.load(shop.current("two_tower_model") / name)
        yield Ranker.load(shop.current("late_fusion_model") / name)
    yield Ncf.load(shop.current("ncf_model"))
    yield RowVae.load(shop.current("vae_model"))
    for config in sorted((place.home / "artifacts").rglob("config.json")):
        if "decoder" in config.read_text("utf-8") and (config.parent / "model.safetensors").exists():
            with_decoder = config.parent
            if with_decoder != shop.current("vae_model"):
                yield EmbeddingVae.load(with_decoder)
    yield ItemIndex.load(shop.current("faiss_index"))
    yield StyleModel.load(shop.current("styles"))
    yield Compatibility.load(shop.current("outfit_model"))
    yield Strategies.load(shop.current("explanation_strategies") / "strategies.json")


def test_every_model_of_a_finished_home_is_loaded_without_a_pickle(first_run: tuple[Place, RunResult]) -> None:
    place, result = first_run
    assert result.success, result.errors
    with no_pickle():
        assert sum(1 for _ in models_of(place)) >= 11


def head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)


def test_a_home_holds_no_pickle(first_run: tuple[Place, RunResult]) -> None:
    place, _ = first_run
    found = [path for path in place.home.rglob("*") if path.is_file() and path.stat().st_size > 2]
    assert len(found) > 50
    odd = {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt", ".npy", ".npz"}
    assert [path.name for path in found if path.suffix in odd] == []
    heads = {path.relative_to(place.home).as_posix(): head_of(path) for path in found}
    assert [name for name, head in heads.items() if head in PICKLES] == []


MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "pickletools",
    "dill",
    "joblib",
    "cloudpickle",
    "marshal",
    "shelve",
    "copyreg",
}
CALLS = {"yaml.load", "eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "to_pickle", "load_module", "Unpickler"}


def faults(tree: ast.AST) -> Iterator[str]:
    """What in a module reads, writes or allows a pickle, or runs a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in MODULES:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            named = {one.arg: one.value for one in node.keywords}
            called = ast.unparse(node.func)
            if called in ("torch.load", "torch.save", "np.load", "numpy.load", "np.save", "np.savez"):
                safe = {"torch.load": "weights_only", "torch.save": ""}.get(called, "allow_pickle")
                value = named.get(safe)
                wanted = called == "torch.load"
                if not (isinstance(value, ast.Constant) and value.value is wanted):
                    yield called
            elif (
                called in CALLS
                or called.rpartition(".")[2] in CALLS - {"compile", "eval", "exec"}
                or "trust_remote_code" in named
            ) or called.rpartition(".")[2] in ("read_pickle", "to_pickle", "Unpickler"):
                yield called
            if isinstance(shell := named.get("shell"), ast.Constant) and shell.value:
                yield f"{called}(shell=True)"


def test_nothing_in_the_package_reads_writes_or_allows_a_pickle() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > 200
    found = {path.relative_to(PACKAGE).as_posix(): list(faults(ast.parse(path.read_text("utf-8")))) for path in modules}
    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "frame.to_pickle(path)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "subprocess.run(line, shell=True)",
        "eval(text)",
    ],
)
def test_the_scan_sees_what_it_is_for(source: str) -> None:
    assert list(faults(ast.parse(source)))


def test_pretrained_weights_are_tensors_or_refused(tmp_path: Path) -> None:
    """Every loader of weights from outside refuses a folder whose weights are a pickle."""
    import json

    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    from fashionrec_assets.embeddings.clip import load_open_clip
    from fashionrec_assets.embeddings.sentences import SentenceEncoder
    from fashionrec_assets.embeddings.token_encoders import TextTokenEncoder
    from fashionrec_assets.resources.models import ModelUnavailableError

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    config = BertConfig(
        vocab_size=6, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=16,
    )  # fmt: skip
    good, bad, clip = tmp_path / "good", tmp_path / "bad", tmp_path / "clip"
    BertModel(config).save_pretrained(good)
    (good / "vocab.txt").write_text("\n".join(words), "utf-8")
    BertTokenizer(str(good / "vocab.txt")).save_pretrained(good)
    bad.mkdir()
    for path in good.iterdir():
        if path.suffix != ".safetensors":
            (bad / path.name).write_bytes(path.read_bytes())
    torch.save(Program(), bad / "pytorch_model.bin")
    clip.mkdir()
    torch.save(Program(), clip / "open_clip_pytorch_model.bin")
    shape = {
        "embed_dim": 8,
        "vision_cfg": {"layers": 1, "width": 8, "head_width": 8, "patch_size": 8, "image_size": 16},
    }
    text = {"text_cfg": {"layers": 1, "width": 8, "heads": 1, "context_length": 8, "vocab_size": 49408}}
    (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": {**shape, **text}}), "utf-8")

    with no_pickle():
        assert len(TextTokenEncoder(str(good), most=4).encode(["a a"]).counts) == 1
        with pytest.raises(ModelUnavailableError):
            TextTokenEncoder(str(bad), most=4)
        with pytest.raises(ModelUnavailableError):
            SentenceEncoder(str(bad))
        with pytest.raises(ModelUnavailableError, match="safetensors"):
            load_open_clip(str(clip))
        with pytest.raises(ModelUnavailableError, match="safetensors"):
            load_open_clip("RN50", str(clip / "open_clip_pytorch_model.bin"))
