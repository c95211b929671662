"""Which product families teach a CLIP model, which choose its epoch, and which only the report ever sees.

Belongs here: the split, and its file inside the model's artifact. Does not belong here: training, reports.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.settings import ClipSettings

Part = Literal["train", "validation", "test"]

FILE = "split.json"
LEAST = 8


@dataclass(frozen=True)
class FamilySplit:
    """Whole families (the colour variants of one design) by a stable hash of `seed` and family, in [0, 1).

    Below `test_below` lies the test part, below `validation_below` the validation part, above it the training part. A
    family therefore keeps its part while the catalog grows, and the split of a trained model is part of its artifact:
    a later report asks that file, never a fresh draw.
    """

    seed: int
    shares: tuple[float, float, int]
    """The settings it was chosen for: `test_share`, `validation_share`, `test_most`."""
    rows: int
    """How many rows it was chosen among."""
    test_below: float
    validation_below: float

    @classmethod
    def choose(cls, families: Sequence[str], settings: ClipSettings, *, seed: int) -> FamilySplit:
        """A split for rows of `families`: the shares of `settings`, about `test_most` rows at most in a held-out part.

        A held-out part that would have fewer than 8 rows is left empty: it could decide and show nothing.
        """
        rows = max(1, len(families))
        test = min(settings.test_share, settings.test_most / rows)
        validation = min(settings.validation_share, settings.test_most / rows)
        shares = _shares(settings)
        split = cls(seed, shares, rows, test, test + validation)
        if (split.parts(families) == "test").sum() < LEAST:
            split = cls(seed, shares, rows, 0.0, validation)
        if (split.parts(families) == "validation").sum() < LEAST:
            split = cls(seed, shares, rows, split.test_below, split.test_below)
        return split

    def fits(self, settings: ClipSettings, rows: int, *, seed: int) -> bool:
        """Whether it was chosen for these settings and a catalog of at least half as many rows.

        A catalog that grew a little keeps its split; after a trial with thirty products the real one gets a new split.
        """
        return self.seed == seed and self.shares == _shares(settings) and rows <= 2 * self.rows

    def parts(self, families: Sequence[str]) -> NDArray[np.str_]:
        """The part, a `Part`, of each row of `families`."""
        draws = {family: self._draw(family) for family in set(families)}
        named: list[Part] = [
            "test"
            if draws[family] < self.test_below
            else "validation"
            if draws[family] < self.validation_below
            else "train"
            for family in families
        ]
        return np.array(named, dtype=np.str_)

    def _draw(self, family: str) -> float:
        return int.from_bytes(hashlib.sha256(f"{self.seed}\0{family}".encode()).digest()[:8], "big") / 2**64

    def save(self, folder: Path) -> None:
        """Write `split.json` into `folder`."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> FamilySplit:
        """What `save` wrote. FileNotFoundError if `folder` has no `split.json`."""
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        test_share, validation_share, most = kept.pop("shares")
        return cls(shares=(test_share, validation_share, most), **kept)

    @classmethod
    def load_or_none(cls, folder: Path) -> FamilySplit | None:
        """`load`, or None for a model of a version that kept no split."""
        return cls.load(folder) if (folder / FILE).is_file() else None


def _shares(settings: ClipSettings) -> tuple[float, float, int]:
    return settings.test_share, settings.validation_share, settings.test_most
