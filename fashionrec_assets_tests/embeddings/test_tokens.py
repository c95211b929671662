"""Token states are the model's own, of real tokens only, and come back from their store as they went in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from fashionrec_assets.definitions import open_shop
from fashionrec_assets.embeddings.checks import finite_states_check
from fashionrec_assets.embeddings.clip import ClipEncoder
from fashionrec_assets.embeddings.encoders import Encoders
from fashionrec_assets.embeddings.reading import TEXT_TOKEN_STORE, tokens
from fashionrec_assets.embeddings.sentences import SentenceEncoder
from fashionrec_assets.embeddings.token_encoders import PatchEncoder, TextTokenEncoder
from fashionrec_assets.embeddings.token_store import TOKEN_COLUMNS, TokenStates, holdings, token_rows, tokens_of
from fashionrec_assets.embeddings.words import WordWeights
from fashionrec_assets.resources.models import ModelUnavailableError
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets_tests.embeddings.tiny import clip_model, sentence_model, vit_model

TEXTS = ["a red dress with striped cotton", "a hat", "", "a blue coat, with a hat", "a hat", "dress " * 90]
HALF = {"rtol": 2e-3, "atol": 2e-3}
"""Half precision keeps eleven bits."""


@pytest.fixture(scope="module")
def texts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentences")
    sentence_model(folder)
    return folder


@pytest.fixture(scope="module")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vit_model(tmp_path_factory.mktemp("vit") / "tiny")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return open_shop(Settings.load(home=tmp_path / "home", raw=tmp_path, storage={"buckets": 3}))


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(count)]


def hidden(folder: Path, text: str) -> Any:
    """The last hidden states of one text alone, as far as the model reads it, (tokens, d)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=64, return_tensors="pt")
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(**ids).last_hidden_state[0].numpy()


def in_parts(states: Any, most: int) -> Any:
    """The means of `most` runs of neighbours, each from floor(i t / most) to ceil((i + 1) t / most)."""
    t = len(states)
    if t <= most:
        return states
    return np.stack([states[i * t // most : -(-(i + 1) * t // most)].mean(axis=0) for i in range(most)])


@pytest.mark.parametrize("most", [12, 5])
def test_states_of_a_text_are_the_models_own_and_averaged_down(texts_folder: Path, most: int) -> None:
    encoder = TextTokenEncoder(str(texts_folder / "bert"), most=most, batch_size=3, device="cpu")
    found = encoder.encode(TEXTS)
    assert found.states.dtype == np.float16
    assert found.before.tolist() == [8, 4, 2, 9, 4, 92]
    assert found.counts.tolist() == [min(count, most) for count in found.before.tolist()]
    for text, states in zip(TEXTS, found.rows(), strict=True):
        np.testing.assert_allclose(states, in_parts(hidden(texts_folder / "bert", text), most), **HALF)
    assert len(encoder.encode([])) == 0


def test_a_text_is_never_longer_than_the_model_reads(texts_folder: Path) -> None:
    found = TextTokenEncoder(str(texts_folder / "bert"), most=500, device="cpu").encode(TEXTS)
    assert found.counts.max() == 64
    assert found.before.max() == 92


def test_the_sentence_encoders_own_transformer_is_read_by_default(texts_folder: Path, shop: Shop) -> None:
    sentences = SentenceEncoder(str(texts_folder / "model"))
    encoder = TextTokenEncoder(sentences, most=6)
    plain = TextTokenEncoder(str(texts_folder / "bert"), most=6, device="cpu")
    assert encoder.model_id == sentences.model_id
    assert encoder.model_id != plain.model_id
    np.testing.assert_array_equal(encoder.encode(TEXTS).states, plain.encode(TEXTS).states)
    assert Encoders(shop).text_tokens_id == Encoders(shop).text_id
    named = shop.settings.model_copy(
        update={"tokens": shop.settings.tokens.model_copy(update={"text_model": str(texts_folder / "bert")})}
    )
    assert Encoders(Shop(named, [])).text_tokens_id == plain.model_id
    assert Encoders(Shop(named, [])).text_tokens.model_id == plain.model_id


def test_an_encoder_without_a_transformer_is_refused(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = StaticEmbedding(Tokenizer(WordLevel({"[UNK]": 0, "hat": 1}, unk_token="[UNK]")), embedding_dim=4)
    SentenceTransformer(modules=[words], device="cpu").save(str(tmp_path / "words"))
    with pytest.raises(ModelUnavailableError, match=r"set tokens\.text_model"):
        TextTokenEncoder(SentenceEncoder(str(tmp_path / "words")), most=6)


def test_models_that_cannot_be_vouched_for_are_refused(texts_folder: Path, vit_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match=r"tokens\.text_model names a folder that does not exist"):
        TextTokenEncoder(str(tmp_path / "nothing"), most=6)
    with pytest.raises(ModelUnavailableError, match=r"tokens\.text_model: transformers cannot load"):
        TextTokenEncoder(str(tmp_path), most=6)
    with pytest.raises(ModelUnavailableError, match=r"tokens\.image_model"):
        PatchEncoder(str(texts_folder / "bert"), side=2)
    lacking = tmp_path / "lacking"
    vit_model(lacking)
    weights = load_file(lacking / "model.safetensors")
    weights.pop(next(name for name in sorted(weights) if "layernorm" in name and "pooler" not in name))
    save_file(weights, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailableError, match="lacks 1 weights of its own architecture"):
        PatchEncoder(str(lacking), side=2)
    same, other = vit_model(tmp_path / "a" / "tiny"), vit_model(tmp_path / "b" / "tiny", seed=1)
    ids = [PatchEncoder(str(folder), side=2, device="cpu").model_id for folder in (vit_folder, same, other)]
    assert ids[0] == ids[1] != ids[2]


def test_states_of_a_vit_are_its_patches_without_the_first_token(vit_folder: Path) -> None:
    import torch
    from transformers import ViTImageProcessor, ViTModel

    images = pictures(3)
    with torch.inference_mode():
        pixels = ViTImageProcessor.from_pretrained(vit_folder)(images=images, return_tensors="pt")["pixel_values"]
        wanted = ViTModel.from_pretrained(vit_folder).eval()(pixels).last_hidden_state[:, 1:].numpy()
    whole = PatchEncoder(str(vit_folder), side=4, batch_size=2, device="cpu").encode(images)
    assert whole.counts.tolist() == whole.before.tolist() == [16, 16, 16]
    np.testing.assert_allclose(whole.states.reshape(3, 16, 16), wanted, **HALF)
    fewer = PatchEncoder(str(vit_folder), side=2, device="cpu").encode(images)
    assert (fewer.counts.tolist(), fewer.before.tolist()) == ([4, 4, 4], [16, 16, 16])
    quarters = wanted.reshape(3, 2, 2, 2, 2, 16).mean(axis=(2, 4)).reshape(3, 4, 16)
    np.testing.assert_allclose(fewer.states.reshape(3, 4, 16), quarters, **HALF)


def test_one_pass_gives_a_text_its_vector_and_the_states_of_its_tokens(
    texts_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = SentenceEncoder(str(texts_folder / "model"), batch_size=2, tokens=6)
    wanted = TextTokenEncoder(SentenceEncoder(str(texts_folder / "model")), most=6).encode(TEXTS)
    vectors = sentences.encode(TEXTS)
    passes: list[list[str]] = []
    encode = sentences._model.encode
    monkeypatch.setattr(sentences._model, "encode", lambda texts, **more: passes.append(texts) or encode(texts, **more))
    found = TextTokenEncoder(sentences, most=6).encode(TEXTS)
    assert not passes, "the texts were read before"
    assert found.counts.tolist() == wanted.counts.tolist()
    assert found.before.tolist() == wanted.before.tolist()
    np.testing.assert_allclose(found.states, wanted.states, **HALF)
    sentences.forget()
    again = TextTokenEncoder(sentences, most=6).encode(TEXTS)
    assert passes
    assert again.states.tobytes() == found.states.tobytes(), "who asks first makes no difference"
    done = len(passes)
    assert (sentences.encode(TEXTS) == vectors).all()
    assert len(passes) == done
    other = TextTokenEncoder(sentences, most=4).encode(TEXTS)
    assert other.counts.max() == 4, "states averaged to another length are not taken"


def test_only_the_states_of_the_last_texts_are_kept(texts_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashionrec_assets.embeddings.sentences.MOST_STATES", 2)
    sentences = SentenceEncoder(str(texts_folder / "model"), batch_size=2, tokens=6)
    sentences.encode(TEXTS)
    assert len(sentences._states) == 2
    assert len(TextTokenEncoder(sentences, most=6).encode(TEXTS)) == len(TEXTS)
    with pytest.raises(ValueError, match="keeps no states"):
        SentenceEncoder(str(texts_folder / "model")).states(["a"])


def test_states_of_an_open_clip_tower_are_its_normed_patches(tmp_path: Path) -> None:
    import torch

    encoder = ClipEncoder(clip_model(tmp_path / "tiny"), batch_size=2, device="cpu")
    seen: list[Any] = []
    visual = encoder._model.visual
    visual.transformer.resblocks[-1].register_forward_hook(lambda module, given, out: seen.append(out))
    images = pictures(3)
    vectors = encoder.encode_images(images)
    with torch.inference_mode():
        wanted = visual.ln_post(torch.cat(seen))[:, 1:].numpy()
        projected = torch.nn.functional.normalize(visual.ln_post(torch.cat(seen))[:, 0] @ visual.proj, dim=1).numpy()
    # The token before them is the one that becomes the vector: the states are of the right layer.
    np.testing.assert_allclose(projected, vectors, atol=1e-5)
    found = encoder.encode_patches(images, side=4)
    assert found.counts.tolist() == found.before.tolist() == [4, 4, 4]
    np.testing.assert_allclose(found.states.reshape(3, 4, 32), wanted, **HALF)
    one = encoder.encode_patches(images, side=1)
    np.testing.assert_allclose(one.states, wanted.mean(axis=1), **HALF)


def test_a_timm_tower_inside_open_clip_has_patches_too(tmp_path: Path) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file as save

    config: dict[str, Any] = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear"},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    config["vision_cfg"]["timm_model_pretrained"] = False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save(open_clip.CLIP(**config).state_dict(), tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}), "utf-8")
    encoder = ClipEncoder(tmp_path, device="cpu")
    found = encoder.encode_patches(pictures(2), side=4)
    assert found.counts.tolist() == [4, 4]
    trunk = encoder._model.visual.trunk
    with torch.inference_mode():
        wanted = trunk.forward_features(next(encoder._batches(pictures(2)))[1])[:, trunk.num_prefix_tokens :].numpy()
    np.testing.assert_allclose(found.states.reshape(wanted.shape), wanted, **HALF)


def test_states_of_the_compact_model_are_its_grid_before_it_becomes_one_vector(tmp_path: Path) -> None:
    import torch

    from fashionrec_assets.embeddings import compact_clip
    from fashionrec_assets.embeddings.trainees import configuration

    settings = Settings.load(home=tmp_path, raw=tmp_path, clip={"image_height": 64, "image_width": 48}).clip
    config = configuration(settings, WordWeights({"hat": 1.0}), text_dim=8, text_model="none", fingerprint="abc")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        compact_clip.save(compact_clip.build(config), config, tmp_path / "compact")
    encoder = ClipEncoder(tmp_path / "compact", device="cpu")
    found = encoder.encode_patches(pictures(2), side=4)
    assert found.counts.tolist() == [6, 6]
    with torch.inference_mode():
        flat = encoder._model.visual.trunk(next(encoder._batches(pictures(2)))[1]).numpy()
    np.testing.assert_allclose(found.states.reshape(2, 6, 384), flat.reshape(2, 384, 6).transpose(0, 2, 1), **HALF)
    assert encoder.encode_patches(pictures(1), side=2).counts.tolist() == [4]


def test_a_tower_without_patches_is_refused_with_a_remedy(tmp_path: Path) -> None:
    encoder = ClipEncoder(clip_model(tmp_path / "tiny"), device="cpu")
    encoder._model.visual.forward_intermediates = None
    with pytest.raises(ModelUnavailableError, match=r"set tokens\.image_model"):
        encoder.encode_patches(pictures(1), side=2)


def states(counts: list[int], dim: int = 3, *, longest: int = 4) -> TokenStates:
    """Rows of `counts` tokens, every state another number, as if cut from texts of at least `longest` tokens."""
    values = np.arange(sum(counts) * dim, dtype=np.float16).reshape(-1, dim) + 1
    sizes = np.array(counts, np.int32)
    return TokenStates(values, sizes, np.maximum(sizes, longest).astype(np.int32))


def test_states_come_back_from_the_store_aligned_and_masked(shop: Shop) -> None:
    store = shop.store(TEXT_TOKEN_STORE, TOKEN_COLUMNS)
    empty = tokens(shop, TEXT_TOKEN_STORE, ["a", "b"])
    assert (empty.states.shape, empty.mask.any(), holdings(store)) == ((2, 1, 1), False, None)

    keys, put = ["b", "d", "e", "f", "g"], states([2, 4, 1, 3, 5])
    store.put(token_rows(keys, put))
    # More keys than buckets, and not in their order.
    asked = ["g", "a", "f", "e", "d", "b"]
    found = tokens(shop, TEXT_TOKEN_STORE, asked)
    assert found.states.dtype == np.float16
    assert found.states.shape == (6, 5, 3)
    assert found.mask.sum(axis=1).tolist() == [5, 0, 3, 1, 4, 2]
    assert not found.states[~found.mask].any()
    rows = dict(zip(keys, put.rows(), strict=True))
    for at, key in enumerate(asked):
        if key in rows:
            np.testing.assert_array_equal(found.states[at, : len(rows[key])], rows[key])
    none = tokens(shop, TEXT_TOKEN_STORE, ["a", "z"])
    assert (none.states.shape, none.mask.any()) == ((2, 5, 3), False)

    held = holdings(store)
    assert held is not None
    assert (held.rows, held.dim, held.mean_tokens) == (5, 3, 3.0)
    assert held.p95_tokens == pytest.approx(4.8)
    assert held.share_shortened == pytest.approx(0.6)
    assert held.bytes == sum(path.stat().st_size for path in store.root.glob("*.parquet"))


def test_rows_of_several_portions_are_one_table(shop: Shop) -> None:
    grid = TokenStates.of_grids(np.ones((2, 3, 3), np.float32), before=12)
    both = TokenStates.joined([states([1, 2]), grid])
    table = token_rows(["a", "b", "c", "d"], both)
    again = tokens_of(table)
    assert again.counts.tolist() == [1, 2, 3, 3]
    assert again.before.tolist() == [4, 4, 12, 12]
    np.testing.assert_array_equal(again.states, both.states)
    np.testing.assert_array_equal(tokens_of(table.slice(1, 1)).states, both.rows()[1])
    assert TokenStates.joined([]).rows() == []


def test_states_of_two_models_in_one_store_are_refused(shop: Shop) -> None:
    store = shop.store(TEXT_TOKEN_STORE, TOKEN_COLUMNS)
    keys = [f"k{number}" for number in range(12)]
    store.put(token_rows(keys, states([2] * 12)))
    store.put(token_rows(keys[:1], states([2], dim=5)))
    with pytest.raises(ValueError, match="materialize"):
        tokens(shop, TEXT_TOKEN_STORE, keys)


def test_the_check_fails_on_states_that_are_not_finite(shop: Shop) -> None:
    check = finite_states_check("text_tokens", TEXT_TOKEN_STORE)
    store = shop.store(TEXT_TOKEN_STORE, TOKEN_COLUMNS)
    assert check(shop=shop).passed
    store.put(token_rows(["a", "b"], states([2, 3])))
    assert check(shop=shop).passed
    broken = states([2, 3])
    broken.states[3, 1] = np.inf
    store.put(token_rows(["a", "b"], broken))
    result = check(shop=shop)
    assert not result.passed
    assert result.metadata["not_finite"].value == 1
