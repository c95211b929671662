"""The words of a text as weights over a catalog's own vocabulary.

Belongs here: fitting the vocabulary, weighing words. Does not belong here: what a model makes of them
(`compact_clip.py`), sentence vectors (`sentences.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

TOKEN = r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+"
"""A run of letters or digits; of scripts that put no space between words, each character."""


class WordWeights:
    """Texts to TF-IDF rows of length one; a word counts once, words outside the vocabulary do not count.

    `idf` is the vocabulary, word to weight; a model's configuration keeps it.
    """

    def __init__(self, idf: Mapping[str, float]) -> None:
        self.idf = dict(sorted(idf.items()))
        self._vectorizer = _vectorizer(vocabulary=list(self.idf)) if self.idf else None
        if self._vectorizer is not None:
            self._vectorizer.idf_ = np.array(list(self.idf.values()), dtype=np.float64)

    @classmethod
    def fit(cls, texts: Sequence[str], *, least: int = 5, most: int = 4000) -> WordWeights:
        """The vocabulary of `texts`: words that at least `least` of them hold, the `most` most frequent ones."""
        vectorizer = _vectorizer(min_df=least, max_features=most)
        try:
            vectorizer.fit(texts)
        except ValueError:
            # scikit-learn's way of saying that no word is frequent enough.
            return cls({})
        words = vectorizer.get_feature_names_out().tolist()
        return cls(dict(zip(words, np.round(vectorizer.idf_, 6).tolist(), strict=True)))

    def __len__(self) -> int:
        return len(self.idf)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, words); a text without a known word is a row of zeros."""
        if self._vectorizer is None or not texts:
            return np.zeros((len(texts), len(self)), dtype=np.float32)
        return self._vectorizer.transform(texts).toarray().astype(np.float32)


def _vectorizer(**options: object) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(token_pattern=TOKEN, binary=True, dtype=np.float32, **options)  # pyright: ignore[reportArgumentType]
