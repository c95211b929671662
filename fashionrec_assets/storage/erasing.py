"""Taking the rows about one shopper out of Parquet files that are otherwise never changed.

Belongs here: that, so that a kill leaves the old release or the new one. Does not belong here: which releases there
are (`releases.py`), erasing from the lineage (the catalog).

The new files are laid out in `<release>/.erasing/`, the new note last: once it is there, they will take the places of
the old ones, at once or by the next `finish`.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from fashionrec_assets.storage.faults import reached
from fashionrec_assets.storage.files import draft_of, write_text
from fashionrec_assets.storage.release_notes import FileNote, Release, TableNote
from fashionrec_assets.storage.tables import literal, quote
from fashionrec_assets.storage.warehouse import Connection

_LAID_OUT = ".erasing"


def from_release(connection: Connection, folder: Path, release: Release, note: str, user_id: str) -> int:
    """Take a shopper's rows out of a release in `folder`, whose note is the file `note`; how many they were."""
    laid_out = folder / _LAID_OUT
    files, taken = dict(release.files), 0
    for table in release.tables.values():
        found = from_file(connection, folder / table.file, laid_out / table.file, table, user_id)
        if found:
            data = (laid_out / table.file).read_bytes()
            files[table.file] = FileNote(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
            taken += found
    if taken:
        changed = release.model_copy(update={"files": files, "erased": release.erased + 1})
        write_text(laid_out / note, changed.model_dump_json(indent=1))
        finish(folder, note)
    return taken


def finish(folder: Path, note: str) -> bool:
    """Put what is laid out in `folder` into place, or throw it away if it is not complete; whether there was any."""
    laid_out = folder / _LAID_OUT
    if not laid_out.is_dir():
        return False
    if (laid_out / note).exists():
        for path in sorted(path for path in laid_out.rglob("*") if path.is_file() and path.name != note):
            reached("before rename", folder / path.relative_to(laid_out))
            path.replace(folder / path.relative_to(laid_out))
            reached("after rename", folder / path.relative_to(laid_out))
        (laid_out / note).replace(folder / note)
    shutil.rmtree(laid_out)
    return True


def from_file(connection: Connection, source: Path, target: Path, table: TableNote, user_id: str) -> int:
    """Write `source` without a shopper's rows to `target`, in the same order; nothing is written if there are none."""
    if table.people is None:
        return 0
    about = f"{quote(table.people)} = ?"
    for column, values in table.people_where.items():
        about += f" AND {quote(column)} IN ({', '.join(map(literal, values))})"
    rows = f"FROM read_parquet({literal(str(source))})"
    found = int(connection.execute(f"SELECT count(*) {rows} WHERE {about}", [user_id]).fetchall()[0][0])
    if found:
        with draft_of(target) as draft:
            connection.execute(
                f"COPY (SELECT * {rows} WHERE ({about}) IS NOT TRUE) TO {literal(str(draft))} (FORMAT parquet)",
                [user_id],
            )
    return found
