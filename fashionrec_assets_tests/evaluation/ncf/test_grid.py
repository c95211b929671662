from __future__ import annotations

from dataclasses import replace

import pytest

from fashionrec_assets.evaluation.ncf.grid import BASELINE, EXPERIMENTS, variants
from fashionrec_assets.settings import Settings

SETTINGS = Settings()
VIEWS = ("text", "image")


def grid_of(grid="default", settings=SETTINGS, views=VIEWS, experiments=tuple(EXPERIMENTS)):
    return {one.name: one for one in variants(settings, views, grid, experiments)}


def knobs(one, *names):
    """Values of the variant's settings, and where its samples come from."""
    chosen = one.settings(SETTINGS.ncf)
    return (*(getattr(chosen, name) for name in names), one.augmentation)


def trainings(grid, settings=SETTINGS):
    return {one.training(settings.ncf) for one in grid.values() if not one.baseline}


def test_names_are_unique_and_every_reference_is_in_the_same_experiment():
    for size in ("default", "full"):
        chosen = variants(SETTINGS, VIEWS, size)
        grid = {one.name: one for one in chosen}
        assert len(grid) == len(chosen)
        for one in chosen:
            assert bool(one.reference) == bool(one.technique) == (one.subject != "reference"), one.name
            if one.reference:
                base = grid[one.reference]
                assert (base.experiment, base.window) == (one.experiment, one.window)
                assert base.name != one.name
                assert one.recipe(SETTINGS.ncf) != base.recipe(SETTINGS.ncf), f"{one.name} is its own reference"


def test_the_default_grid_holds_what_each_experiment_asks():
    grid = grid_of()
    of = {number: [one for one in grid.values() if one.experiment == number] for number in EXPERIMENTS}
    read = {tuple(sorted(one.settings(SETTINGS.ncf).modalities)) for one in of[1]}
    assert read == {("text",), ("image",), ("id",), ("id", "image", "text")}
    assert {one.augmentation for one in of[1]} == {None}
    crossed = {knobs(one, "fusion", "alignment") for one in of[2]}
    fusions = ("early", "intermediate", "late")
    assert crossed == {(f, 0.0, a) for f in fusions for a in (None, "vae")} | {("intermediate", 0.1, None)}
    made = {(one.augmentation, one.degree) for one in of[3]}
    assert made == {(None, 0.0), *((kind, 0.5) for kind in ("vae", "neighbours", "attributes", "random"))}
    filled = {knobs(one, "cold_items", "id_dropout")[:2] for one in of[4] if not one.baseline}
    assert filled == {(f, d) for f in ("unknown", "neighbours", "vae") for d in (0.0, 0.5)}
    assert grid[BASELINE].baseline
    assert {one.headline for one in of[4]} == {"cold"}
    runs = {(one.keep, one.window, one.augmentation) for one in of[5]}
    assert runs == {(k, w, a) for k, w in ((1, 0), (0.25, 0), (1, 1)) for a in (None, "vae")}
    assert {one.settings(SETTINGS.ncf).scorer for one in of[0]} == {"dot", "gmf", "neumf"}


def test_the_full_grid_crosses_all_of_them():
    grid = grid_of("full")
    second = [one for one in grid.values() if one.experiment == 2]
    assert len(second) == 12
    assert (
        len(
            {
                (one.settings(SETTINGS.ncf).fusion, one.augmentation, one.settings(SETTINGS.ncf).alignment)
                for one in second
            }
        )
        == 12
    )
    assert {one.degree for one in grid.values() if one.experiment == 3} == {0, 0.1, 0.25, 0.5, 1, 2}
    fifth = {(one.keep, one.window, one.augmentation) for one in grid.values() if one.experiment == 5}
    assert {pair[:2] for pair in fifth} == {(1, 0), (0.5, 0), (0.25, 0), (0.1, 0), (1, 1), (1, 2)}
    scorers = {
        (one.settings(SETTINGS.ncf).scorer, one.settings(SETTINGS.ncf).pretrain)
        for one in grid.values()
        if not one.experiment
    }
    assert scorers == {("neumf", False), ("neumf", True), ("gmf", False), ("mlp", False), ("dot", False)}


def test_what_stands_in_several_experiments_is_one_model():
    grid, ncf = grid_of(), SETTINGS.ncf
    plain = (
        "modalities=all",
        "fusion=intermediate",
        "augmentation=none",
        "cold=unknown:50",
        "keep=100",
        "scorer=neumf",
    )
    assert len({grid[name].recipe(ncf) for name in plain}) == 1
    sampled = ("fusion=intermediate+vae", "augmentation=vae:50", "vae_over_random:50", "keep=100+vae")
    assert len({grid[name].recipe(ncf) for name in sampled}) == 1
    assert grid[plain[0]].training(ncf) != grid[sampled[0]].training(ncf)
    assert len(trainings(grid)) == 20


def test_fillings_share_a_training_but_not_their_figures():
    grid, ncf = grid_of(), SETTINGS.ncf
    names = ("cold=unknown:50", "cold=neighbours:50", "cold=vae:50")
    assert len({grid[name].training(ncf) for name in names}) == 1
    assert len({grid[name].recipe(ncf) for name in names}) == 3
    assert grid["cold=unknown:0"].training(ncf) != grid["cold=unknown:50"].training(ncf)


def test_settings_without_a_say_make_no_other_model():
    plain = grid_of()["scorer=dot"]
    pretrained = replace(plain, changes={**plain.changes, "pretrain": True})
    assert pretrained.recipe(SETTINGS.ncf) == plain.recipe(SETTINGS.ncf), "only NeuMF has halves to pretrain"
    neumf = replace(pretrained, changes={**pretrained.changes, "scorer": "neumf"})
    assert neumf.recipe(SETTINGS.ncf) != grid_of()["scorer=neumf"].recipe(SETTINGS.ncf)
    never = replace(plain, augmentation="vae", degree=0.0)
    assert never.recipe(SETTINGS.ncf) == plain.recipe(SETTINGS.ncf)


def test_without_a_vae_there_is_none_in_any_place():
    for one in grid_of("full").values():
        if one.experiment != 4:
            assert one.settings(SETTINGS.ncf).cold_items == "unknown", one.name


def test_the_grid_follows_the_settings_in_force():
    settings = Settings(ncf={"fusion": "late", "scorer": "gmf", "id_dropout": 0.2}, synthesis={"degree": 0.3})
    grid = grid_of(settings=settings)
    assert grid["fusion=early"].reference == "fusion=late"
    assert grid["fusion=late"].reference == ""
    assert grid["augmentation=vae:30"].degree == 0.3
    assert grid["cold=vae:20"].settings(settings.ncf).id_dropout == 0.2
    assert grid["scorer=neumf"].reference == "scorer=gmf"


def test_a_shop_is_not_asked_what_it_cannot_answer():
    grid = grid_of("full", views=("text",))
    assert "modalities=image" not in grid
    assert grid["modalities=all"].changes["modalities"] == ("text", "id")
    assert {one.settings(SETTINGS.ncf).fusion for one in grid.values() if one.experiment == 2} == {"intermediate"}
    assert not any(one.subject == "alignment" for one in grid.values())
    bare = grid_of("full", views=())
    assert BASELINE not in bare
    assert not any(one.subject == "filling" for one in bare.values())


def test_only_the_experiments_asked_for():
    assert {one.experiment for one in grid_of(experiments=(3, 1)).values()} == {1, 3}
    assert next(iter(variants(SETTINGS, VIEWS, experiments=(3, 1)))).experiment == 1
    assert grid_of(experiments=()) == {}
    with pytest.raises(ValueError, match="7"):
        grid_of(experiments=(1, 7))


def test_titles_fit_their_plots():
    for one in grid_of("full").values():
        assert len(one.title) <= 30, one.title
        assert "  " not in one.title + one.technique
