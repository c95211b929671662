"""A shop full of hostile rows: each is refused or flagged with its reason, and the rest goes through."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets_tests.end_to_end.place import Place

SCRIPT = "<script>alert(1)</script> {{ 7*7 }} dress'; DROP TABLE items; --"


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it is 60,000 pixels square."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def hostile(small_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, RunResult]:
    import shutil

    folder = tmp_path_factory.mktemp("hostile")
    shutil.copytree(small_raw, folder / "shop")
    place = Place(folder / "shop", folder / "home")
    photos = place.raw / "images"
    whole = next(path for path in sorted(photos.rglob("*.jpg")) if path.stat().st_size > 2000).read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "bomb.png").write_bytes(bomb())
    (folder / "secret.jpg").write_bytes(whole)
    columns = (place.raw / "catalog.csv").read_text("utf-8").splitlines()[0].split(",")

    def row(item_id: str, title: str, image: str = "", **fields: str) -> bytes:
        values = {"item_id": item_id, "title": title, "image": image, **fields}
        return ",".join('"' + values.get(name, "").replace('"', '""') + '"' for name in columns).encode() + b"\r\n"

    with (place.raw / "catalog.csv").open("ab") as file:
        file.write(row("h-script", SCRIPT))
        file.write(row("h-long", "x" * 50_000))
        file.write(row("h-nul", "nul \x00 here"))
        file.write(row("h-latin", "PLACEHOLDER").replace(b"PLACEHOLDER", b"caf\xe9 \xff\xfe"))
        file.write(row("h-up", "path up", "../secret.jpg"))
        file.write(row("h-abs", "absolute path", str(folder / "secret.jpg")))
        file.write(row("h-cut", "truncated", "images/cut.jpg"))
        file.write(row("h-bomb", "bomb", "images/bomb.png"))
        file.write(row("h-twice", "first of two"))
        file.write(row("h-twice", "second of two"))
        file.write(row("h-bare", ""))
    with (place.raw / "UserBehavior.csv").open("ab") as file:
        for line in ("u1,h-script,1,pv,-5", "u1,h-script,1,pv,253402300799", "u1,h-script,1,pv,soon", "u1,h-script,1"):
            file.write(line.encode() + b"\n")
        file.write(b"u1,h-script,1,stare,1711700000\nu\x00,h-script,1,pv,1711700000\n")
        file.write(b"u1,no-such-item,1,pv,1711700000\n<b>u2</b>,h-script,1,pv,1711700000\n")
    return place, place.run()


def test_the_rest_of_the_shop_goes_through(
    hostile: tuple[Place, RunResult], first_run: tuple[Place, RunResult]
) -> None:
    _, result = hostile
    assert result.success, result.errors
    assert result.checks.failed == []
    assert result.assets["items"].new > first_run[1].assets["items"].new


def test_every_hostile_row_is_refused_or_flagged_with_its_reason(hostile: tuple[Place, RunResult]) -> None:
    place, _ = hostile
    with place.shop().warehouse.reader() as connection:
        status = dict(connection.execute("SELECT item_id, image_status FROM items WHERE item_id LIKE 'h-%'").fetchall())
        rejects = connection.execute("SELECT table_name, line, reason, value, row_kept FROM rejects").fetchall()
        titles = dict(connection.execute("SELECT item_id, title FROM items WHERE item_id LIKE 'h-%'").fetchall())
    assert status["h-up"] == status["h-abs"] == "escaping"
    assert status["h-cut"] == "unreadable"
    assert status["h-bomb"] == "oversized"
    assert titles["h-script"] == SCRIPT
    assert titles["h-twice"] == "first of two"
    assert "h-long" not in status
    assert "h-nul" not in status
    assert "h-latin" not in status
    assert all(line is not None for _, line, *_ in rejects)
    reasons = {(table, reason) for table, _, reason, _, _ in rejects}
    for reason in ("too long", "contains a NUL byte", "not UTF-8 text", "duplicate"):
        assert ("items", reason) in reasons
    for reason in ("impossible time", "not a time", "missing columns", "unknown behaviour", "unknown item"):
        assert ("interactions", reason) in reasons
    assert all(value is None or len(value) <= 200 for *_, value, _ in rejects)


def test_markup_in_a_title_is_text_wherever_it_is_shown(hostile: tuple[Place, RunResult]) -> None:
    place, _ = hostile
    for page in (place.home / "reports").rglob("*.html"):
        assert "<script>alert" not in page.read_text("utf-8")
    with place.shop().warehouse.reader() as connection:
        text = connection.execute("SELECT text FROM descriptions WHERE item_id = 'h-script'").fetchall()[0][0]
    assert "<script" not in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("catalog.csv", b"", "empty"),
        ("catalog.csv", b"item_id,name\n1,dress\n", "title"),
        ("UserBehavior.csv", b"", "empty"),
    ],
)
def test_an_unusable_file_is_one_clear_error(fresh: Place, name: str, content: bytes, said: str) -> None:
    (fresh.raw / name).write_bytes(content)
    result = fresh.run(select='key:"items" or key:"interactions" or key:"users"')
    assert not result.success
    step, message = result.errors[0]
    assert step == ("items" if name == "catalog.csv" else "interactions")
    assert name in message
    assert said in message.lower()
