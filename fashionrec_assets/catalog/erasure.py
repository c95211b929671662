"""Users who asked to be forgotten: the list of them, and keeping them out of everything that raw files say.

Belongs here: the suppression list of a home (salted hashes, never a name) and the SQL that readers of raw rows apply
with it. Does not belong here: reading raw files (`validation.py`, `lines.py`), finding what earlier runs left of a user
(`traces.py`) and the command (`cli/erasure.py`).

The raw files are the retailer's and may name a user for ever; no row of a user on the list gets past the readers, so
no later room knows of the list. Its digest is part of what decides whether the log is read again.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError

from fashionrec_assets.catalog import contract
from fashionrec_assets.catalog.queries import literal, query
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.files import write_text

FILE: Final = "erasures.json"

_WITHHELD_TEXT: Final = "a reason must not name the user: it is kept"


class ErasuresDamagedError(RuntimeError):
    """The suppression list cannot be read. Nothing may be read from raw files until it can."""


class Erasure(BaseModel):
    """One user on the list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hash: str
    """SHA-256 of the list's salt and the user's id, in hexadecimal."""
    erased: date
    reason: str | None = None
    models: Mapping[str, str] = {}
    """The models in force on that day that may have learned from the user's events: name to model id."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    salt: str
    users: tuple[Erasure, ...] = ()


@dataclass(frozen=True)
class Erasures:
    """The suppression list of one home. `salt` is drawn once for each home."""

    salt: str = ""
    users: tuple[Erasure, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.users)

    @classmethod
    def read(cls, home: Path) -> Erasures:
        """The list in `<home>/erasures.json`; empty where there is none.

        Raises ErasuresDamagedError if it cannot be read: going on without it would bring erased users back.
        """
        path = home / FILE
        try:
            found = _File.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (ValidationError, OSError) as error:
            raise ErasuresDamagedError(
                f"{path} cannot be read ({type(error).__name__}), and without it erased users would come back. "
                "Restore it from a backup, or remove it and erase every user on it again."
            ) from error
        return cls(found.salt, found.users)

    def write(self, home: Path) -> None:
        """Keep the list in `<home>/erasures.json`, for its owner's eyes."""
        path = home / FILE
        write_text(path, _File(salt=self.salt, users=self.users).model_dump_json(indent=2) + "\n")
        path.chmod(0o600)

    def hash_of(self, user_id: str) -> str:
        """What the list says in place of `user_id`."""
        return hashlib.sha256((self.salt + user_id).encode("utf-8")).hexdigest()

    def names(self, user_id: str) -> bool:
        """Whether the user is on the list."""
        return self.hash_of(user_id) in {user.hash for user in self.users}

    def adding(
        self, user_id: str, day: date, *, reason: str | None = None, models: Mapping[str, str] | None = None
    ) -> Erasures:
        """The list with `user_id` on it; as it is if it was there. Raises ValueError if `reason` names the user."""
        if reason is not None and user_id.casefold() in reason.casefold():
            raise ValueError(f"{_WITHHELD_TEXT} for as long as the list is")
        salted = self if self.salt else replace(self, salt=secrets.token_hex(32))
        if salted.names(user_id):
            return salted
        user = Erasure(hash=salted.hash_of(user_id), erased=day, reason=reason, models=dict(models or {}))
        return replace(salted, users=(*salted.users, user))

    @property
    def digest(self) -> str | None:
        """What changes whenever the list does; None while it is empty."""
        return digest([self.salt, sorted(user.hash for user in self.users)]) if self.users else None

    def find(self, connection: duckdb.DuckDBPyConnection, records: str) -> int:
        """Fill the temporary table `erased` (user_id, records) with users of `records` (SQL with a column user_id) who
        are on the list; the number of their records. Each user is hashed once; with an empty list nothing is read."""
        if not self:
            return 0
        connection.execute(query("erased_users", records=records, salt=literal(self.salt), hashes=self._hashes()))
        return int(connection.execute("SELECT coalesce(sum(records), 0) FROM erased").fetchall()[0][0])

    def withhold(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Empty the values of the table `rejects` that hold the id of a user on the list, as a field or a word.

        That is what is left of a line that could not be split into columns.
        """
        if self:
            parts = {"salt": literal(self.salt), "hashes": self._hashes(), "cut": str(contract.MAX_VALUE_CHARS)}
            connection.execute(query("erased_values", **parts))

    def _hashes(self) -> str:
        return "[" + ", ".join(literal(user.hash) for user in self.users) + "]"


NOBODY: Final = Erasures()
"""The empty list."""
