"""Whether known preferences are found again."""

from __future__ import annotations

from fashionrec_assets.evaluation.explanations.simulation import World, recovery


def test_more_answers_find_more_and_the_chosen_lead_beats_the_default() -> None:
    world = World.drawn(150, 3)
    few, many = (recovery(world, each=each, seed=3, draws=100) for each in (6, 30))
    assert few.established
    assert 0.3 < few.correlation.value < many.correlation.value < 1
    assert few.gain.low > 0.05
    assert few.default.value < few.chosen.value < many.chosen.value < many.oracle.value
    assert 0.5 < many.of_possible < 1


def test_without_preferences_the_default_stands() -> None:
    worlds = [World.drawn(100, seed, everyone=0, group=0, person=0) for seed in range(6)]
    found = [recovery(world, each=6, seed=seed, draws=20) for seed, world in enumerate(worlds)]
    assert sum(one.established for one in found) <= 1
    assert all(one.gain.value == 0 for one in found)
