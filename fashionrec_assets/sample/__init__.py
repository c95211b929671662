"""The generated sample shop: a catalog, photos and a behaviour log in the native contract, and the truth behind them.

Belongs here: everything invented. Does not belong here: anything the rest of the lineage needs in order to run on a
real shop. No room imports this one but the command line, which writes the shop, and evaluation, which may read its
truth.

attributes -> what garments exist and what they look like      taste     -> who likes what, as factors
garments   -> outlines of one garment in body units            behaviour -> sessions, the funnel, the log
canvas     -> cloth, light and masks on pixels                 titles    -> marketplace titles and descriptions
photos     -> packshots, figures and cluttered rooms           flaws     -> malformed rows
shop       -> writes the files                                 truth     -> reads and writes the truth
"""

from __future__ import annotations

from fashionrec_assets.sample.shop import ShopSummary, default_truth, generate_shop, shop_is_current
from fashionrec_assets.sample.truth import Truth, load_truth

__all__ = ["ShopSummary", "Truth", "default_truth", "generate_shop", "load_truth", "shop_is_current"]
