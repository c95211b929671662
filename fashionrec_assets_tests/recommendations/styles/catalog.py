"""A small catalog with styles that are known, for the tests of this room."""

from __future__ import annotations

import numpy as np

from fashionrec_assets.recommendations.styles.clusters import Content
from fashionrec_assets.recommendations.styles.labels import Labels

TYPES = ("dress", "boots", "t-shirt", "scarf")
PATTERNS = ("floral", "solid", "striped", "checked")


def catalog(n: int = 160, seed: int = 0) -> tuple[Content, np.ndarray]:
    """`n` items of four styles, each a type in a pattern, with noise; and the style of each."""
    rng = np.random.default_rng(seed)
    style = rng.integers(0, 4, n)
    axes = rng.normal(size=(4, 12))
    rows: list[tuple[int, str, str]] = []
    for item, of in enumerate(style.tolist()):
        stray = int(rng.integers(0, 4))
        rows.append((item, "type", TYPES[of if rng.random() < 0.9 else stray]))
        if rng.random() < 0.9:
            rows.append((item, "pattern", PATTERNS[of if rng.random() < 0.9 else stray]))
        rows.append((item, "gender", "women"))
    text = axes[style] + rng.normal(0, 0.6, (n, 12))
    image = axes[style] + rng.normal(0, 0.6, (n, 12))
    has_image = rng.random(n) < 0.7
    content = Content(
        np.asarray([f"i{row:04d}" for row in range(n)]),
        text.astype(np.float32),
        np.ones(n, bool),
        np.where(has_image[:, None], image, np.nan).astype(np.float32),
        has_image,
        Labels.of(rows, n),
        np.asarray([f"f{row // 2}" if row % 3 else "" for row in range(n)]),
    )
    return content, style


def part(content: Content, rows: np.ndarray) -> Content:
    """The items at `rows`, with all labels."""
    return Content(
        content.ids[rows],
        content.text[rows],
        content.has_text[rows],
        content.image[rows],
        content.has_image[rows],
        Labels(content.labels.names, content.labels.holds[rows]),
        content.families[rows],
    )
