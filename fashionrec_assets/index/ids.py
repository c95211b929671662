"""Item ids as the index takes them: from Arrow to NumPy, a million at a time.

Belongs here: that. Does not belong here: which item a row stands for (`item_index.py`).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def strings(column: pa.Array | pa.ChunkedArray) -> NDArray[np.str_]:
    """The strings of `column` (n,), none of them null. Those of ASCII alone are not made Python objects on the way."""
    whole: pa.Array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = pc.max(pc.binary_length(whole)).as_py()  # pyright: ignore[reportAttributeAccessIssue]
    if not width or not pc.all(pc.string_is_ascii(whole)).as_py():  # pyright: ignore[reportAttributeAccessIssue]
        return np.array(whole.to_pylist(), np.str_)
    # NumPy's strings end where their zeros begin.
    padded: pa.Array = pc.utf8_rpad(whole, width, "\0")  # pyright: ignore[reportAttributeAccessIssue]
    letters = np.frombuffer(padded.buffers()[2], np.uint8, len(whole) * width)
    return letters.astype(np.uint32).view(f"<U{width}")
