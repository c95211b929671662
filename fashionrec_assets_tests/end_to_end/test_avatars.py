"""Avatars cost what changes: one photo, one vector; and users lose them with their photos."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from fashionrec_assets.embeddings.reading import AVATAR_STORE, vectors
from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.reading import user_profiles
from fashionrec_assets_tests.end_to_end.place import Place

SELECTED = 'key:"users" or key:"avatar_vectors"'


def give(place: Place, refs: dict[str, str]) -> list[str]:
    """Write the column `avatar` of the user file; the ids of its users."""
    path = place.raw / "users.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["avatar"] = refs.get(row["user_id"], "")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return sorted(row["user_id"] for row in rows)


def face(path: Path, shade: int) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(shade).integers(0, shade, (80, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


def counts(result: RunResult) -> tuple[int, int, int, int]:
    """(new, stale, orphaned, reused) of the avatars."""
    assert result.success, result.errors
    assert not result.checks.failed
    made = result.assets["avatar_vectors"]
    return made.new, made.stale, made.orphaned, made.reused


def as_before_avatars(shop: Shop) -> None:
    """The users as a version of the project left them that knew no avatars."""
    with shop.warehouse.writer() as connection:
        connection.execute("CREATE TABLE old AS SELECT * EXCLUDE (avatar_ref, avatar_status, avatar_digest) FROM users")
        connection.execute("DROP TABLE users")
        connection.execute("ALTER TABLE old RENAME TO users")
        connection.execute("UPDATE ledger SET input_fp = 'old' WHERE stage = 'users'")


def test_a_changed_avatar_is_one_vector_and_a_lost_one_goes(place: Place) -> None:
    shop = place.shop()
    as_before_avatars(shop)
    users = give(place, {})
    assert user_profiles(shop, users).avatar is None
    chosen = users[:4]
    refs = {user: f"faces/{number}.png" for number, user in enumerate(chosen)}
    for number in range(4):
        face(place.raw / refs[chosen[number]], 100 + 40 * number)
    give(place, refs)
    assert counts(place.run(select=SELECTED)) == (4, 0, 0, 0)
    before = vectors(shop, AVATAR_STORE, users)
    assert [user for user, there in zip(users, before.present, strict=True) if there] == chosen
    avatar = user_profiles(shop, users).avatar
    assert avatar is not None
    np.testing.assert_array_equal(avatar.values, before.values)
    np.testing.assert_array_equal(avatar.present, before.present)
    assert user_profiles(shop, users[4:]).avatar is None

    face(place.raw / refs[chosen[1]], 250)
    assert counts(place.run(select=SELECTED)) == (0, 1, 0, 3)
    after = vectors(shop, AVATAR_STORE, users)
    moved = (after.values != before.values).any(axis=1)
    assert [user for user, there in zip(users, moved, strict=True) if there] == [chosen[1]]

    (place.raw / refs[chosen[0]]).write_bytes(b"not a photo")
    give(place, {**refs, chosen[2]: ""})
    assert counts(place.run(select=SELECTED)) == (0, 0, 2, 2)
    assert [user for user, there in zip(users, vectors(shop, AVATAR_STORE, users).present, strict=True) if there] == [
        chosen[1],
        chosen[3],
    ]
