"""Releases: immutable folders of everything that is served together, and the one link that says which.

Belongs here: making, listing, verifying and pruning the folders, switching between them, taking a shopper out of them,
and healing what a kill left. Does not belong here: what goes into a release and which one deserves to be served (the
promotion room), reading tables (`served.py`).

`<home>/releases/<version>/` holds `release.json` and the files it lists, hard links where the disk allows: what the
lineage writes is replaced by renaming, never changed in place, so a release keeps its bytes and takes only the room of
what changed since. `<home>/served` is a symbolic link that is replaced in one step.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from pydantic import ValidationError

from fashionrec_assets.settings import digest
from fashionrec_assets.storage import erasing
from fashionrec_assets.storage.artifacts import MANIFEST
from fashionrec_assets.storage.buckets import BOOKKEEPING
from fashionrec_assets.storage.faults import reached
from fashionrec_assets.storage.files import explained, file_digest, write_text
from fashionrec_assets.storage.release_notes import FileNote, Provenance, Release, State, Switch, TableNote, Verdict
from fashionrec_assets.storage.served import WITHDRAWN, ServedTables

NOTE = "release.json"
SCORES = "scores"
_BOOKKEEPING = {*BOOKKEEPING, MANIFEST}
_COURSE = {"curve.json", "summary.json"}
"""Files of models that say how a training went, its seconds too: of no concern to which release it is."""
_OPEN = 3
"""Releases that stay open for reading: around a switch, pages of both are asked for."""

_log = logging.getLogger(__name__)


class ReleaseError(LookupError):
    """There is no such release, or it is damaged."""


class Releases:
    """`<root>/<version>/`, and the link `served` beside `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.link = root.parent / "served"
        self._opened: dict[tuple[object, ...], ServedTables] = {}

    @classmethod
    def of(cls, home: Path) -> Releases:
        """The releases of a home folder."""
        return cls(home / "releases")

    @property
    def withdrawn(self) -> Path:
        return self.root / WITHDRAWN

    def folder(self, version: str) -> Path:
        return self.root / version

    def scores(self, version: str) -> Path:
        """The folder of what was measured of a release, beside it: a release itself never changes."""
        return self.root / SCORES / version

    def read(self, version: str) -> Release:
        """What a release says of itself. Raises ReleaseError, with the remedy, if it is unknown or damaged."""
        path = self.folder(version) / NOTE
        if not version or Path(version).name != version or not path.is_file():
            raise ReleaseError(f"There is no release {version!r}: `fashionrec models` lists those that are kept.")
        try:
            release = Release.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ReleaseError(f"{path} is damaged: promote another release (`fashionrec models`).") from error
        if release.version != version:
            raise ReleaseError(f"{path} says it is release {release.version!r}: promote another release.")
        return release

    def all(self) -> list[Release]:
        """The releases that can be read, oldest first."""
        found: list[Release] = []
        for path in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            if not path.name.startswith(".") and (path / NOTE).exists():
                try:
                    found.append(self.read(path.name))
                except ReleaseError as error:
                    _log.warning("%s", error.args[0])
        return sorted(found, key=lambda release: release.sequence)

    def whole(self, version: str) -> bool:
        """Whether every file of a release is there with its size: what can be seen without reading them."""
        try:
            release = self.read(version)
        except ReleaseError:
            return False
        return not any(self._off(version, name, file) for name, file in release.files.items())

    def problems(self, version: str) -> list[str]:
        """What is wrong with a release, every byte read; empty if nothing is."""
        try:
            release = self.read(version)
        except ReleaseError as error:
            return [error.args[0]]
        return [
            said
            for name, file in release.files.items()
            if (said := self._off(version, name, file) or self._altered(version, name, file))
        ]

    def _off(self, version: str, name: str, file: FileNote) -> str:
        try:
            size = (self.folder(version) / name).stat().st_size
        except OSError:
            return f"{version}/{name} is missing"
        return "" if size == file.bytes else f"{version}/{name} has {size:,} bytes instead of {file.bytes:,}"

    def _altered(self, version: str, name: str, file: FileNote) -> str:
        same = file_digest(self.folder(version) / name) == file.sha256
        return "" if same else f"{version}/{name} is not what was written"

    def add(self, files: Mapping[str, Path], tables: Mapping[str, TableNote], made_from: Provenance) -> Release:
        """The release of `files` (name in the release to where the file lies now), made if it is not there yet.

        Its version is a digest of what it holds and was made from, so that the same content is the same release.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        known = self._known_hashes()
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.root))
        try:
            with explained(self.root):
                notes = {name: _take(source, draft / name, known) for name, source in sorted(files.items())}
                said = made_from.model_dump(mode="json", include={"stages", "code", "models", "cut"})
                content = {name: note.sha256 for name, note in notes.items() if Path(name).name not in _COURSE}
                version = digest([said, content])[:12]
                if self.whole(version):
                    return self.read(version)
                release = Release(
                    version=version,
                    sequence=1 + max([self.state().sequence, *(one.sequence for one in self.all())]),
                    created=now(),
                    parent=self.served(),
                    made_from=made_from,
                    tables=dict(tables),
                    files=notes,
                )
                write_text(draft / NOTE, release.model_dump_json(indent=1))
                draft.chmod(0o755)
                shutil.rmtree(self.folder(version), ignore_errors=True)
                reached("before rename", self.folder(version))
                draft.replace(self.folder(version))
                reached("after rename", self.folder(version))
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._write(self.state().model_copy(update={"sequence": release.sequence}))
        return release

    def _known_hashes(self) -> dict[tuple[int, int], FileNote]:
        """By device and inode: a hard link to a file of a release has that file's hash."""
        found: dict[tuple[int, int], FileNote] = {}
        for release in self.all():
            for name, note in release.files.items():
                with suppress(OSError):
                    status = (self.folder(release.version) / name).stat()
                    if status.st_size == note.bytes:
                        found[status.st_dev, status.st_ino] = note
        return found

    def served(self) -> str | None:
        """The version the link names, whole or not; None while nothing is served."""
        if self.link.is_symlink():
            return self.link.readlink().name
        # A home that was copied with its links followed has a folder where the link was.
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads((self.link / NOTE).read_text("utf-8"))["version"])
        return None

    def open(self) -> ServedTables:
        """The tables of the served release; of the one served before where that one is damaged, with a warning.

        Raises ReleaseError if there is none.
        """
        version = self.served()
        stamp = (version, *map(_stamp, (self.folder(version or "") / NOTE, self.withdrawn)))
        if (known := self._opened.get(stamp)) is not None:
            return known
        if version is None or not self.whole(version):
            version = self._instead_of(version)
        if version is None:
            raise ReleaseError("No release has been published yet: run `fashionrec run` first.")
        opened = ServedTables(self.read(version), self.folder(version), self.withdrawn)
        # Connecting takes longer than reading a page. One of two threads may connect in vain.
        self._opened = {**dict(list(self._opened.items())[-_OPEN + 1 :]), stamp: opened}
        return opened

    def _instead_of(self, version: str | None) -> str | None:
        """What is served in the place of a release that is damaged or gone: the last one served that is whole."""
        state = self.state()
        if version is None and not state.switches:
            return None
        refused = {known for known, verdict in state.verdicts.items() if verdict.decision != "promoted"}
        newest = [release.version for release in reversed(self.all()) if release.version not in refused]
        for other in [*state.served_before(version or ""), *newest]:
            if other != version and self.whole(other):
                _log.warning("the served release %s is damaged or gone: %s is served instead", version, other)
                return other
        return None

    def state(self) -> State:
        """What was served and decided; an unreadable file counts as empty, with a warning."""
        path = self.root / "state.json"
        if not path.exists():
            return State()
        try:
            return State.model_validate_json(path.read_bytes())
        except ValidationError:
            _log.warning("%s is damaged: what was decided about earlier releases is forgotten", path)
            return State()

    def _write(self, state: State) -> None:
        write_text(self.root / "state.json", state.model_dump_json(indent=1))

    def judge(self, version: str, verdict: Verdict) -> None:
        """Write down what was decided about a release."""
        self._write(self.state().judged(version, verdict))

    def switch(self, version: str, why: str, by: str | None = None) -> None:
        """Serve `version` from now on: who resolves the link sees the old release or the new one.

        Raises ReleaseError, and changes nothing, unless the release is there with every file.
        """
        self.read(version)
        if not self.whole(version):
            raise ReleaseError(f"Release {version} is damaged: promote another one (`fashionrec models`).")
        previous = self.served()
        if version != previous or not self.link.is_symlink():
            self._point(version)
        if version != previous:
            self._write(
                self.state().switched(Switch(version=version, previous=previous, at=now(), by=by or who(), why=why))
            )

    def _point(self, version: str) -> None:
        draft = self.link.with_name(f".{self.link.name}.tmp")
        with explained(self.link):
            draft.unlink(missing_ok=True)
            draft.symlink_to(Path(self.root.name) / version, target_is_directory=True)
            if self.link.is_dir() and not self.link.is_symlink():
                aside = Path(tempfile.mkdtemp(prefix=".served-", dir=self.root))
                self.link.replace(aside / "served")
                shutil.rmtree(aside, ignore_errors=True)
            reached("before rename", self.link)
            draft.replace(self.link)
            reached("after rename", self.link)

    def heal(self) -> list[str]:
        """Finish what a kill left undone, and serve a whole release where the served one is not; what was done."""
        if not self.root.is_dir():
            return []
        done: list[str] = []
        for path in sorted(self.root.glob(".*-*")):
            shutil.rmtree(path, ignore_errors=True)
            done.append(f"an unfinished draft was removed ({path.name})")
        for path in sorted(self.root.iterdir()):
            if erasing.finish(path, NOTE):
                done.append(f"taking a shopper out of {path.name} was finished")
        version = self.served()
        wanted = version
        if version is None or not self.whole(version):
            wanted = self._instead_of(version)
        if wanted is not None and (wanted != version or not self.link.is_symlink()):
            copied = self.link.is_dir() and not self.link.is_symlink()
            self._point(wanted)
            said = f"{self.link.name} was a folder, as in a copied home" if copied else f"the link named {version}"
            done.append(f"{said}, and now names {wanted}")
        state = self.state()
        before = state.switches[-1].version if state.switches else None
        if wanted is not None and wanted != before:
            why = "found served without a record: an interrupted switch, or a damaged one"
            self._write(state.switched(Switch(version=wanted, previous=before, at=now(), by=who(), why=why)))
            done.append(f"{wanted} is served and was not written down")
        for said in done:
            _log.warning("releases: %s", said)
        return done

    def prune(self, keep: int, also: Collection[str] = ()) -> list[str]:
        """Delete all but the `keep` newest releases, the served one, the one served before it, and `also`."""
        served = self.served()
        kept = {release.version for release in self.all()[-keep:]} | {served, *also}
        kept |= set(self.state().served_before(served)[:1]) if served else set()
        gone: list[str] = []
        for path in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            if path.is_dir() and not path.name.startswith(".") and path.name not in kept and path.name != SCORES:
                reached("before prune", path)
                # Away at once: a kill while deleting must not leave half of a release under its name.
                aside = path.with_name(f".gone-{path.name}")
                path.replace(aside)
                shutil.rmtree(aside, ignore_errors=True)
                shutil.rmtree(self.scores(path.name), ignore_errors=True)
                reached("after prune", path)
                gone.append(path.name)
        return gone

    def erase_user(self, user_id: str) -> int:
        """Take every row about a shopper out of all retained releases, and of what was measured of them.

        Every other row, and its place, stays. Returns the number of rows taken out. Can be run again after a kill.
        """
        self.heal()
        taken = 0
        with duckdb.connect() as connection:
            for release in self.all():
                taken += erasing.from_release(connection, self.folder(release.version), release, NOTE, user_id)
            for path in sorted((self.root / SCORES).glob("*/*.parquet")):
                table = TableNote(file=path.name, people="user_id")
                taken += erasing.from_file(connection, path, path, table, user_id)
        return taken


def _stamp(path: Path) -> tuple[int, int] | None:
    """Differs whenever another file lies at `path`."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _take(source: Path, target: Path, known: Mapping[tuple[int, int], FileNote]) -> FileNote:
    """A hard link to `source`, or a copy of it, at `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        # Another filesystem, or one without hard links.
        shutil.copyfile(source, target)
    status = target.stat()
    note = known.get((status.st_dev, status.st_ino))
    if note is not None and note.bytes == status.st_size:
        return note
    return FileNote(sha256=file_digest(target), bytes=status.st_size)


def names_of(folder: Path, under: str) -> dict[str, Path]:
    """Every file in `folder`, as `<under>/<path in it>`, but for what is noted of the others and what was set aside."""
    kept = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".damaged")
    return {f"{under}/{path.relative_to(folder).as_posix()}": path for path in kept if path.name not in _BOOKKEEPING}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def who() -> str:
    """The account that is at work, for the record."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
