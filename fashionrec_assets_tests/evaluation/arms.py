"""Held-out items as vectors for tests of the retrieval report: each technique takes away a known share of noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fashionrec_assets.embeddings.arms import ARMS, Arm
from fashionrec_assets.evaluation.retrieval_report import ArmVectors, HeldOut, RetrievalReport, evaluate_retrieval
from fashionrec_assets.evaluation.shopper_phrases import shopper_phrases
from fashionrec_assets.evaluation.zero_shot import zero_shot_tasks

VALUES = {
    "colour": ["red", "blue", "green", "black"],
    "product_type": ["dress", "shirt", "coat", "skirt", "sweater"],
    "gender": ["women", "men"],
}
DIM = 48
NOISE = 1.1


def unit(values) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def planted(
    n: int = 200,
    *,
    gains: dict[str, float],
    phrase_gains: dict[str, float] | None = None,
    arms: Sequence[Arm] = ARMS,
    seed: int = 0,
    title: str = "item",
    **options,
) -> RetrievalReport:
    """A report of arms whose noise each technique multiplies by 1 less its gain; `phrase_gains` for the phrases' own.

    Grounding helps the images, clarified text the texts and the phrases, fine-tuning all.
    """
    rng = np.random.default_rng(seed)
    rows = {name: rng.integers(0, len(values), n) for name, values in VALUES.items()}
    meaning = {name: unit(rng.normal(size=(len(values), DIM))) for name, values in VALUES.items()}
    common = sum(meaning[name][rows[name]] for name in VALUES)
    latent = unit(common + 0.8 * unit(rng.normal(size=(n, DIM))))
    fields = {name: [VALUES[name][row] for row in rows[name]] for name in VALUES}
    ids = [f"{number:04}" for number in range(n)]
    small = np.arange(n) % 3 > 0
    held_out = HeldOut(
        item_ids=ids,
        families=[f"f{number // 2}" for number in range(n)],
        slices={"small_garment": small, "large_garment": ~small, "worn": np.arange(n) < 3},
        fields=fields,
        texts={
            flag: [f"{title} {number} {'clear' if flag else 'raw'}" for number in range(n)] for flag in (False, True)
        },
        catalog=5 * n,
    )
    phrases = shopper_phrases(fields, ids, 100)
    tasks = zero_shot_tasks(fields, least=5, most=20)
    sizes = {"image": n, "text": n, "phrase": len(phrases.texts)}
    noise = {name: rng.normal(size=(size, DIM)) / np.sqrt(DIM) for name, size in sizes.items()}
    # Noise that an arm has for itself: without it every arm would make the same mistakes.
    own = np.random.default_rng(seed + 1)

    def left(arm: Arm, techniques: Sequence[str], gains: dict[str, float]) -> float:
        return NOISE * np.prod([1 - gains.get(name, 0) for name in techniques if getattr(arm, name)])

    def noisy(values, kind: str, scale: float):
        return unit(values + scale * (noise[kind] + 0.3 * own.normal(size=values.shape) / np.sqrt(DIM)))

    place = {word: meaning[name][row] for name, words in VALUES.items() for row, word in enumerate(words)}
    wanted = unit(np.array([sum(place[word] for word in text.split()) for text in phrases.texts]))
    asked = gains if phrase_gains is None else phrase_gains
    vectors = [
        ArmVectors(
            arm,
            noisy(latent, "image", left(arm, ("tuned", "grounded"), gains)),
            noisy(latent, "text", left(arm, ("tuned", "clarified"), gains)),
            noisy(wanted, "phrase", left(arm, ("tuned", "clarified"), asked)),
            {
                task.field: unit(meaning[task.field][[VALUES[task.field].index(v) for v in task.classes]])
                for task in tasks
            },
        )
        for arm in arms
    ]
    return evaluate_retrieval(held_out, vectors, phrases, tasks, **{"worth": 0.02, "draws": 300, "seed": 1, **options})
