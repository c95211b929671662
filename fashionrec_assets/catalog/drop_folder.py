"""The folder into which a shop drops its raw files: has everything arrived, and is it something new?

Belongs here: looking at names, sizes and times, and the rule by which files count as arrived. Does not belong here:
reading a file (`validation.py`), its digest (`digests.py`), or starting a run (`automation.py`).

Someone copies files into the folder while this project looks at it, so what lies there may be half a file. Three
rules keep such a file from being read:

- A name that says "not yet" is no file: hidden, or ending in `.part`, `.tmp`, `.crdownload`, `~` and the like.
- Everything required must be there, and nothing may have changed between two looks at least `stable_seconds` apart.
  Sizes and times of unfinished names count here: while one grows, nothing is read.
- Both looks are timed by this clock alone. Times of files come from another one, perhaps a wrong one: they are compared
  with each other, never with now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.sources.base import Source
from fashionrec_assets.settings import digest

UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".swp", "~")
"""Endings of the names under which programs keep a file that is still being written."""


@dataclass(frozen=True)
class Seen:
    """What a cheap look tells of a file, or of a folder of files taken together."""

    files: int
    size: int
    newest_ns: int


@dataclass(frozen=True)
class Look:
    """The folder at one moment: finished inputs, unfinished files, and what is missing (None: nothing)."""

    finished: Mapping[str, Seen] = field(default_factory=dict)
    unfinished: Mapping[str, Seen] = field(default_factory=dict)
    missing: str | None = None

    def content(self) -> str:
        """Digest of what a run would read."""
        return digest({name: vars(seen) for name, seen in self.finished.items()})

    def state(self) -> str:
        """Digest of everything there, unfinished files included: it changes for as long as anything arrives."""
        return digest([self.content(), {name: vars(seen) for name, seen in self.unfinished.items()}])


class Memory(BaseModel):
    """What the sensor remembers from look to look: its cursor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: str = ""
    since: float = 0.0
    """When that state was first seen, in seconds since 1970 by this clock."""
    asked: str = ""
    """The content a run was last asked for."""
    key: str = ""
    """The key of that request."""

    @classmethod
    def of(cls, cursor: str | None) -> Memory:
        """What a cursor says; one that cannot be read is as none."""
        try:
            return cls.model_validate_json(cursor or "")
        except ValidationError:
            return cls()


@dataclass(frozen=True)
class Decision:
    """What to remember, and either the key of a run to ask for or the reason why not."""

    memory: Memory
    run_key: str | None = None
    reason: str = ""


def is_unfinished(name: str) -> bool:
    """Whether a name says that its file is still being written."""
    return name.startswith(".") or name.lower().endswith(UNFINISHED)


def look_at(source: Source) -> Look:
    """A look at the source's files, by name, size and time only; photos are counted together."""
    try:
        files = source.files()
    except ContractError as error:
        return Look(unfinished=_unfinished_in(source.raw), missing=str(error))
    except OSError as error:
        return Look(missing=f"{source.raw} cannot be looked at: {error.strerror or error}")
    finished: dict[str, Seen] = {}
    unfinished = _unfinished_in(source.raw)
    for file in files:
        if file.path.is_dir():
            entries = list(_below(file.path))
            finished[file.path.name] = _together(stat for name, stat in entries if not is_unfinished(name))
            moving = _together(stat for name, stat in entries if is_unfinished(name))
            if moving.files:
                unfinished[f"{file.path.name}/"] = moving
        else:
            try:
                finished[file.path.name] = _together([file.path.stat()])
            except FileNotFoundError:
                return Look(unfinished=unfinished, missing=f"{file.path} went away just now")
    return Look(finished, unfinished)


def decide(look: Look, memory: Memory, now: float, stable_seconds: float) -> Decision:
    """Whether to ask for a run: once for each new content, when all of it is there and has kept still long enough.

    The key follows from the content and from the request before it, so that a content that comes back after another
    one is asked for again, and the same request twice has the same key.
    """
    if look.missing is not None:
        return Decision(memory.model_copy(update={"state": "", "since": 0.0}), reason=f"not ready: {look.missing}")
    state = look.state()
    # A clock that was set back since the first look would else make the wait as long as the difference.
    if state != memory.state or memory.since > now:
        memory = memory.model_copy(update={"state": state, "since": now})
    if look.content() == memory.asked:
        return Decision(memory, reason="nothing new: a run was asked for when these files arrived")
    if now - memory.since < stable_seconds:
        waiting = f", {', '.join(sorted(look.unfinished))} unfinished" if look.unfinished else ""
        return Decision(
            memory,
            reason=f"still arriving{waiting}: unchanged for {now - memory.since:.0f} of {stable_seconds:.0f} s",
        )
    key = digest([look.content(), memory.key])[:32]
    return Decision(memory.model_copy(update={"asked": look.content(), "key": key}), run_key=key)


def still_arriving(look: Look, now: float, stable_seconds: float) -> str | None:
    """For one who looks once: why the files may be half there, or None.

    Something was written within the last `stable_seconds`. A time in the future says nothing: its clock is wrong.
    """
    for name, seen in (*look.finished.items(), *look.unfinished.items()):
        age = now - seen.newest_ns / 1e9
        if 0 <= age < stable_seconds:
            return f"{name} was written {age:.0f} s ago"
    return None


def _unfinished_in(raw: Path) -> dict[str, Seen]:
    if not raw.is_dir():
        return {}
    found: dict[str, Seen] = {}
    with os.scandir(raw) as entries:
        for entry in entries:
            if is_unfinished(entry.name) and entry.is_file(follow_symlinks=False):
                found[entry.name] = _together([entry.stat(follow_symlinks=False)])
    return found


def _below(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Name and status of every file below `folder`; what goes away meanwhile is not there."""
    stack = [str(folder)]
    while stack:
        try:
            entries = os.scandir(stack.pop())
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.name, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue


def _together(found: Iterator[os.stat_result] | list[os.stat_result]) -> Seen:
    files = size = newest = 0
    for one in found:
        files, size, newest = files + 1, size + one.st_size, max(newest, one.st_mtime_ns)
    return Seen(files, size, newest)
