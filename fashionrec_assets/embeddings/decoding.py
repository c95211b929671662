"""Pictures on their way into a model: decoded and brought to its size in threads, while a GPU's model is busy.

Belongs here: decoding stored crops, keeping a model's next batches ready. Does not belong here: the models (`clip.py`,
`token_encoders.py`), what a model wants done to a picture, photos from outside (`catalog/photos.py`, which checks them
first).
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias, TypeVar, Union

from fashionrec_assets.embeddings.images import as_rgb

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


Picture: TypeAlias = Union["Image", bytes]
"""A picture in memory, or the JPEG bytes of one that the crop stage stored."""

_Row = TypeVar("_Row")

THREADS = 4
"""Most threads that decode; beyond them a processor's model waits for no picture."""
AHEAD = 2
"""Most batches that are ready, or being made, while the model reads another: memory is bounded by them."""
AT_ONCE = 8
"""Pictures that a thread takes: one alone is not worth handing over."""


def opened(picture: Picture) -> Image:
    """`picture` as an RGB image. Raises PIL.UnidentifiedImageError for bytes that are no JPEG."""
    from PIL import Image

    if isinstance(picture, bytes):
        picture = Image.open(io.BytesIO(picture), formats=("JPEG",))
    return as_rgb(picture)


def ahead_of(device: torch.device) -> int:
    """Batches to make ready while a model on `device` reads another.

    None where it computes with every core there is: its threads wait for each other at every step, so that whatever
    runs beside one of them holds up all. There the threads that prepare have the cores in turn with the model.
    """
    import torch

    return 0 if device.type == "cpu" and torch.get_num_threads() >= (os.cpu_count() or 1) else AHEAD


def prepared(
    pictures: Sequence[Picture], prepare: Callable[[Image], _Row], batch_size: int, ahead: int = AHEAD
) -> Iterator[tuple[slice, list[_Row]]]:
    """What `prepare` makes of each of `pictures`, in batches, in order, each with its place among `pictures`.

    `prepare` runs in threads, up to `ahead` batches before the one that is asked for. What it raises is raised where
    its batch is asked for.
    """
    places = [slice(start, min(start + batch_size, len(pictures))) for start in range(0, len(pictures), batch_size)]
    pool = ThreadPoolExecutor(max_workers=min(THREADS, os.cpu_count() or 1), thread_name_prefix="pictures")

    def several(some: Sequence[Picture]) -> list[_Row]:
        return [prepare(opened(picture)) for picture in some]

    def submit(place: slice) -> list[Future[list[_Row]]]:
        starts = range(place.start, place.stop, AT_ONCE)
        return [pool.submit(several, pictures[start : min(start + AT_ONCE, place.stop)]) for start in starts]

    waiting: deque[tuple[slice, list[Future[list[_Row]]]]] = deque()
    try:
        for place in places:
            waiting.append((place, submit(place)))
            if len(waiting) > ahead:
                first, futures = waiting.popleft()
                yield first, [row for future in futures for row in future.result()]
        for first, futures in waiting:
            yield first, [row for future in futures for row in future.result()]
    finally:
        pool.shutdown(cancel_futures=True)
