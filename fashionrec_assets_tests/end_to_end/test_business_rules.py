"""A merchant's rules: what they forbid is on no page from the next run on, and a bad line is told."""

from __future__ import annotations

from fashionrec_assets.storage.warehouse import one_row
from fashionrec_assets_tests.end_to_end.place import Place

PAGES = "key:business_rules or key:homepage"
HEADER = "rule,field,value,number,shelf,from,until\n"


def test_a_changed_rules_file_makes_the_pages_again_and_they_keep_it(place: Place) -> None:
    shop = place.shop()
    with shop.warehouse.reader() as connection:
        (item,) = one_row(
            connection, "SELECT item_id FROM homepage GROUP BY item_id ORDER BY count(*) DESC, item_id LIMIT 1"
        )
    rules = place.raw / "rules.csv"
    rules.write_text(HEADER + f"out_of_stock,item_id,{item},,,,\ncap,product_type,,2,for_you,,\n", "utf-8")
    first = place.run(select=PAGES)
    assert first.success and first.checks.failed == [], first.checks
    assert not any(name.startswith("business_rules") for name in first.checks.warned)
    assert first.assets["homepage"].stale > 0 and first.assets["homepage"].reused == 0
    with shop.warehouse.reader() as connection:
        (shown,) = one_row(connection, "SELECT count(*) FROM homepage WHERE item_id = ?", [item])
        (popular,) = one_row(connection, "SELECT count(*) FROM popular_items WHERE item_id = ?", [item])
        (most,) = one_row(
            connection,
            "SELECT max(items) FROM (SELECT count(*) AS items FROM homepage JOIN items USING (item_id) "
            "WHERE shelf = 'for_you' AND product_type <> '' GROUP BY user_id, product_type)",
        )
    assert (shown, popular, most) == (0, 0, 2)

    again = place.run(select=PAGES)
    assert again.assets["business_rules"].stale == again.assets["homepage"].stale == 0

    rules.write_text(rules.read_text("utf-8") + "ban,brand,x,,,,\nexclude,brand,x,,,,2001-01-01\n", "utf-8")
    told = place.run(select=PAGES)
    assert told.success and told.checks.failed == []
    assert any("rules_are_understood" in name and "line 4" in name for name in told.checks.warned), told.checks
    assert told.assets["homepage"].stale == 0, "neither a rejected line nor a rule of another day changes a page"
