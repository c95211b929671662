"""The truth of a sample shop, where the raw files are one's.

Belongs here: finding it, and the parts of it that reports slice by. Does not belong here: what it means (`sample`).
"""

from __future__ import annotations

from pathlib import Path

from fashionrec_assets.settings import Settings


def truth_folder(settings: Settings) -> Path | None:
    """The folder of the sample shop's truth, if the raw files are a sample shop's."""
    from fashionrec_assets.sample.shop import default_truth

    folder = settings.truth or default_truth(settings.raw)
    return folder if (folder / "truth.json").is_file() else None


def scenes(settings: Settings) -> dict[str, str]:
    """How each item of a sample shop was photographed: packshot, worn or cluttered. Empty for any other shop."""
    from fashionrec_assets.sample.truth import load_truth

    folder = truth_folder(settings)
    if folder is None:
        return {}
    items = load_truth(folder).items
    return dict(zip(items["item_id"], items["scene"], strict=True))
