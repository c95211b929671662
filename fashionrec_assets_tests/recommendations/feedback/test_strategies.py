"""What answers teach about leads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fashionrec_assets.recommendations.explanations.facts import KINDS
from fashionrec_assets.recommendations.feedback.answers import SEGMENTS, Answer, segment
from fashionrec_assets.recommendations.feedback.strategies import Strategies, fit_preferences, fit_strategies
from fashionrec_assets.recommendations.feedback.tables import EXPLANATION_STRATEGIES, strategy_rows

NOW = datetime(2024, 3, 1, tzinfo=UTC)


def told(user: str, lead: str | None, helpful: bool, times: int = 1, **more: str) -> list[Answer]:
    return [Answer(user, f"i{at}", NOW, helpful, lead, **more) for at in range(times)]


def test_users_are_grouped_by_their_events() -> None:
    assert [segment(events) for events in (0, 1, 5, 6, 20, 21, 999)] == [SEGMENTS[at] for at in (0, 1, 1, 2, 2, 3, 3)]


def test_a_user_is_pulled_towards_their_group_and_the_group_towards_everyone() -> None:
    rng = np.random.default_rng(0)
    users = [f"u{at // 4:03d}" for at in range(800)]
    chosen = rng.integers(2, size=800)
    groups = ["many" if int(user[1:]) >= 100 else "few" for user in users]
    chance = np.where(np.array(groups) == "many", np.where(chosen == 0, 0.9, 0.1), np.where(chosen == 0, 0.6, 0.4))
    found = fit_preferences(["history", "price"], chosen, rng.random(800) < chance, users, groups)
    assert found.established
    assert found.segments["many"][0] > found.everyone[0] > found.segments["few"][0] > 0.5
    assert found.expected("nobody") == found.everyone
    assert found.expected("nobody", "few") == found.segments["few"]
    # Someone of the many whom a few answers speak against is expected to be less like them, but not the opposite.
    assert found.order("nobody", "many") == ("history", "price")


def test_nothing_is_established_by_chance_and_nobody_is_led_then() -> None:
    rng = np.random.default_rng(1)
    answers = [one for at in range(60) for one in told(f"u{at}", KINDS[at % 5], bool(rng.random() < 0.5))]
    found = fit_strategies(answers, {f"u{at}": SEGMENTS[1] for at in range(60)})
    assert not found.of["lead"].established
    assert found.lead_order("u1", SEGMENTS[1]) == ()
    assert found.best("lead", "u1") is None


def test_one_who_always_says_otherwise_gets_another_lead() -> None:
    crowd: list[Answer] = []
    for at in range(40):
        crowd += told(f"u{at}", "history", True, 3) + told(f"u{at}", "popularity", False, 3)
    contrary = told("x", "history", False, 9) + told("x", "popularity", True, 9)
    group = {one.user_id: SEGMENTS[2] for one in crowd + contrary}
    found = fit_strategies(crowd + contrary, group)
    assert found.lead_order("u1", SEGMENTS[2])[0] == "history"
    assert found.lead_order("new", SEGMENTS[2])[0] == "history"
    assert found.lead_order("x", SEGMENTS[2])[0] == "popularity"
    assert found.lead_order("u1")[-1] == "popularity"
    assert sorted(found.lead_order("u1")) == sorted(KINDS)


def test_tones_and_lengths_are_learned_where_they_were_noted_and_unknown_leads_are_counted() -> None:
    answers = [
        *told("a", "vibes", True, 30, tone="warm", length="short"),
        *told("a", "vibes", False, 30, tone="plain", length="short"),
        *told("b", None, True, 30, tone="warm", length="short"),
        *told("b", None, False, 30, tone="plain", length="short"),
    ]
    found = fit_strategies(answers, {"a": SEGMENTS[0], "b": SEGMENTS[0]})
    assert found.unread == 120
    assert "lead" not in found.of
    assert found.best("tone", "c", SEGMENTS[0]) == "warm"
    assert found.best("length", "c") is None, "one option is no choice"


def test_one_who_says_yes_to_everything_prefers_nothing() -> None:
    """Whoever saw one option only, and is easy to please, says nothing of that option."""
    answers = [one for at in range(20) for one in told(f"u{at}", "history" if at % 2 else "price", bool(at % 2), 10)]
    found = fit_strategies(answers, {f"u{at}": SEGMENTS[0] for at in range(20)})
    assert not found.of["lead"].established


def test_the_file_gives_back_what_was_learned_byte_for_byte(tmp_path: Path) -> None:
    answers = told("a", "history", True, 20) + told("b", "price", False, 20)
    found = fit_strategies(answers, {"a": SEGMENTS[0], "b": SEGMENTS[3]})
    found.save(tmp_path / "s.json")
    again = Strategies.load(tmp_path / "s.json")
    assert again == found
    fit_strategies(list(reversed(answers)), {"a": SEGMENTS[0], "b": SEGMENTS[3]}).save(tmp_path / "t.json")
    assert (tmp_path / "t.json").read_bytes() == (tmp_path / "s.json").read_bytes()


@pytest.mark.parametrize("answers", [[], told("a", "history", True, 20)])
def test_the_table_has_its_columns(answers: list[Answer]) -> None:
    rows = strategy_rows(fit_strategies(answers, {"a": SEGMENTS[0]}))
    assert tuple(rows.column_names) == EXPLANATION_STRATEGIES.column_names
    assert len(rows) == (2 * len(KINDS) if answers else 0)
