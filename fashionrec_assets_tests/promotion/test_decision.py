from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fashionrec_assets.evaluation.bootstrap import paired_difference
from fashionrec_assets.promotion.decision import comparison_of, consider, promote, rollback, settled
from fashionrec_assets.promotion.scoring import CannotBeScoredError, UserFigures
from fashionrec_assets.promotion.shown import comparison_picture, release_rows
from fashionrec_assets.settings import PromotionSettings
from fashionrec_assets.storage.release_notes import Release, Verdict
from fashionrec_assets.storage.releases import ReleaseError, Releases
from fashionrec_assets_tests.storage.release_maker import publish

USERS = np.array([f"u{number:03d}" for number in range(200)])
NOISE = np.random.default_rng(3).normal(0, 0.05, len(USERS))
SETTINGS = PromotionSettings(bootstrap=200)

QUALITY = {"one": 0.40, "worse": 0.30, "slightly worse": 0.395, "better": 0.50}
"""The mean NDCG of the models of that name."""


class Bench:
    """A home whose releases are measured by `QUALITY`."""

    def __init__(self, home: Path) -> None:
        self.home, self.releases = home, Releases.of(home)
        self.measured: list[str] = []

    def measure(self, release: Release) -> UserFigures:
        models = release.models["two_tower_model"]
        self.measured.append(models)
        if models not in QUALITY:
            raise CannotBeScoredError(f"the models of release {release.version} cannot be read")
        values = np.clip(QUALITY[models] + np.roll(NOISE, len(models)), 0, 1)
        return UserFigures(USERS, {"ndcg": values, "recall": values / 2})

    def night(self, score: float, models: str, settings: PromotionSettings = SETTINGS) -> tuple[str, Verdict]:
        """One refresh: the newest release, and what was decided."""
        made = publish(self.home, score, models=models)
        return made.version, consider(self.releases, made, settings, self.measure, lambda: "slice")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "home")


def test_the_first_release_and_newer_data_are_served_without_a_comparison(bench: Bench) -> None:
    first, verdict = bench.night(0.1, "one")
    assert (verdict.decision, bench.releases.served()) == ("promoted", first)
    assert "first release" in verdict.why
    second, verdict = bench.night(0.2, "one")
    assert (verdict.decision, verdict.against, bench.releases.served()) == ("promoted", first, second)
    assert "same models" in verdict.why
    assert not bench.measured


def test_a_worse_challenger_is_blocked_with_the_numbers_and_a_better_one_promoted(bench: Bench) -> None:
    champion, _ = bench.night(0.1, "one")
    worse, verdict = bench.night(0.2, "worse")
    assert (verdict.decision, bench.releases.served()) == ("blocked", champion)
    found = verdict.comparison
    assert found is not None and not found.passed
    assert found.challenger == pytest.approx(0.3, abs=0.01) and found.champion == pytest.approx(0.4, abs=0.01)
    assert found.high < found.least == pytest.approx(-0.05 * found.champion)
    assert found.difference == pytest.approx(found.challenger - found.champion)
    assert found.low <= found.difference <= found.high
    for number in (found.champion, found.challenger, found.difference, found.low, found.high, found.least):
        assert f"{number:+.4f}" in verdict.why or f"{number:.4f}" in verdict.why
    assert f"fashionrec promote {worse}" in verdict.why
    assert settled(bench.releases, worse)
    assert comparison_picture(found).startswith(b"\x89PNG")
    better, verdict = bench.night(0.3, "better")
    assert (verdict.decision, bench.releases.served()) == ("promoted", better)
    assert [row["state"] for row in release_rows(bench.releases)] == ["served", "blocked", "retained"]


def test_the_margin_is_a_share_of_the_champion_at_the_bottom_of_the_interval(bench: Bench) -> None:
    bench.night(0.1, "one")
    assert bench.night(0.2, "slightly worse", SETTINGS.model_copy(update={"margin": 0.0}))[1].decision == "blocked"
    verdict = bench.night(0.2, "slightly worse", SETTINGS.model_copy(update={"margin": 0.02}))[1]
    assert verdict.decision == "blocked"
    assert verdict.comparison is not None
    assert verdict.comparison.low < verdict.comparison.least < verdict.comparison.difference
    # The same release is judged anew under other settings.
    verdict = bench.night(0.2, "slightly worse", SETTINGS.model_copy(update={"margin": 0.1}))[1]
    assert verdict.decision == "promoted"
    assert verdict.comparison is not None and verdict.comparison.difference < 0


def test_the_comparison_is_the_paired_bootstrap_of_the_chosen_metric(bench: Bench) -> None:
    old, new = (bench.measure(publish(bench.home, models=name)) for name in ("one", "better"))
    found = comparison_of(old, new, SETTINGS.model_copy(update={"metric": "recall"}), "slice", seed=4)
    interval = paired_difference(new.values["recall"], old.values["recall"], draws=200, seed=4)
    assert (found.difference, found.low, found.high) == (interval.value, interval.low, interval.high)
    others = UserFigures(USERS[:-1], {name: values[:-1] for name, values in new.values.items()})
    with pytest.raises(CannotBeScoredError, match="not the same ones"):
        comparison_of(old, others, SETTINGS, "slice")


@pytest.mark.parametrize(
    ("models", "settings", "said"),
    [
        ("of another time", SETTINGS, "cannot be read"),
        ("better", SETTINGS.model_copy(update={"auto": False}), "promotion.auto is off"),
    ],
)
def test_what_cannot_be_decided_waits_for_a_person(
    bench: Bench, models: str, settings: PromotionSettings, said: str
) -> None:
    champion, _ = bench.night(0.1, "one")
    newer, verdict = bench.night(0.2, models, settings)
    assert (verdict.decision, bench.releases.served()) == ("blocked", champion)
    assert said in verdict.why and f"fashionrec promote {newer}" in verdict.why
    assert promote(bench.releases, newer, "looked at it") == champion
    assert bench.releases.served() == newer
    assert bench.releases.state().switches[-1].why == "looked at it"
    # Newer data of what a person chose are served as ever.
    assert bench.night(0.3, models, settings)[1].decision == "promoted"


def test_what_was_rolled_back_stays_aside_and_a_new_challenger_competes(bench: Bench) -> None:
    champion, _ = bench.night(0.1, "one")
    better, _ = bench.night(0.2, "better")
    assert rollback(bench.releases, reason="complaints") == champion
    aside = bench.releases.state().verdicts[better]
    assert aside.decision == "set aside" and "complaints" in aside.why
    assert aside.comparison is not None, "what it had been measured at is kept"
    asked = len(bench.measured)
    for score in (0.2, 0.25):
        # The very release, and tomorrow's with the same models.
        version, verdict = bench.night(score, "better")
        assert (verdict.decision, bench.releases.served()) == ("set aside", champion)
        assert f"fashionrec promote {version}" in verdict.why
    assert len(bench.measured) == asked
    assert bench.night(0.3, "worse")[1].decision == "blocked"
    assert bench.night(0.4, "one")[1].decision == "promoted"
    promote(bench.releases, version)
    assert bench.night(0.5, "better")[1].decision == "promoted"


def test_rolling_back_data_of_the_same_models_says_nothing_about_the_models(bench: Bench) -> None:
    first, _ = bench.night(0.1, "one")
    bench.night(0.2, "one")
    rollback(bench.releases)
    assert bench.night(0.2, "one")[1].decision == "set aside"
    assert bench.releases.served() == first
    third, verdict = bench.night(0.3, "one")
    assert (verdict.decision, bench.releases.served()) == ("promoted", third)
    assert bench.night(0.4, "better")[1].decision == "promoted"
    assert bench.night(0.5, "one")[1].decision == "blocked", "compared, not set aside"


def test_rolling_back_from_content_that_came_again_holds_too(bench: Bench) -> None:
    first, _ = bench.night(0.1, "one")
    worse, _ = bench.night(0.2, "worse")
    promote(bench.releases, worse)
    assert bench.night(0.1, "one")[0] == first == bench.releases.served()
    assert rollback(bench.releases) == worse
    assert bench.night(0.1, "one")[1].decision == "set aside"
    assert bench.releases.served() == worse


def test_rollbacks_go_back_one_by_one_and_then_no_further(bench: Bench) -> None:
    first, second, third = (bench.night(score, "one")[0] for score in (0.1, 0.2, 0.3))
    tables = bench.releases.folder(first) / "tables"
    before = {path.name: path.read_bytes() for path in tables.iterdir()}
    assert rollback(bench.releases) == second
    assert rollback(bench.releases) == first
    assert {path.name: path.read_bytes() for path in (bench.releases.link / "tables").iterdir()} == before
    with pytest.raises(ReleaseError, match="nothing to go back to"):
        rollback(bench.releases)
    assert rollback(bench.releases, third) == third


def test_only_a_whole_release_is_promoted_by_hand(bench: Bench) -> None:
    champion, _ = bench.night(0.1, "one")
    worse, _ = bench.night(0.2, "worse")
    with pytest.raises(ReleaseError, match="served already"):
        promote(bench.releases, champion)
    with pytest.raises(ReleaseError, match="no release 'other'"):
        promote(bench.releases, "other")
    path = bench.releases.folder(worse) / "models" / "weights.bin"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[::-1])
    with pytest.raises(ReleaseError, match="not what was written"):
        promote(bench.releases, worse)
    assert bench.releases.served() == champion
    assert bench.releases.state().verdicts[worse].decision == "blocked"
