"""A shop as a worker sees it, who may not see its home.

Belongs here: the settings and artifacts that travel. Does not belong here: what is done with them (the rooms'
`work.py`), and how batches travel (`ray_compute.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings

if TYPE_CHECKING:
    from ray import ObjectRef


class FarShop(Shop):
    """A shop as a worker sees it: its settings and some of its artifacts, at the versions the stage began with.

    An artifact is read where the home has it, and unpacked from `packed` where the worker does not see the home.
    """

    def __init__(
        self, settings: Settings, versions: Mapping[str, str], packed: Mapping[str, ObjectRef[Any]] | None = None
    ) -> None:
        super().__init__(settings, ())
        self._versions = dict(versions)
        self._packed = dict(packed or {})
        self._unpacked: dict[str, tempfile.TemporaryDirectory[str]] = {}

    @classmethod
    def of(cls, shop: Shop, names: Sequence[str], put: Callable[[Any], ObjectRef[Any]] | None) -> FarShop:
        """The worker's side of `shop`, with the artifacts `names`; `put` sends them along."""
        packed = {} if put is None else {name: put(_packed(shop.current(name))) for name in names}
        return cls(shop.settings, {name: shop.version(name) for name in names}, packed)

    def __reduce__(self) -> tuple[Any, ...]:
        return FarShop, (self.settings, self._versions, self._packed)

    def current(self, name: str) -> Path:
        """See `Shop.current`."""
        if (self.artifacts.root / name / self.version(name)).is_dir() or name not in self._packed:
            return super().current(name)
        if name not in self._unpacked:
            import ray

            self._unpacked[name] = folder = tempfile.TemporaryDirectory(prefix="fashionrec-")
            for file, content in ray.get(self._packed[name]).items():
                path = Path(folder.name) / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        return Path(self._unpacked[name].name)

    def _ledger(self, what: Literal["output", "digest"], stage: str) -> str | None:
        if what == "output" and stage in self._versions:
            return self._versions[stage]
        raise LookupError(f"a worker was not told of {stage}: name it in the work's `models`")


def _packed(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by their path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
