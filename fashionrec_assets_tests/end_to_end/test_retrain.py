from __future__ import annotations

from fashionrec_assets_tests.end_to_end.place import Place


def test_a_retraining_begins_from_the_beginning_and_wakes_nothing_when_the_model_comes_out_the_same(
    place: Place,
) -> None:
    before = place.shop().version("two_tower_model")
    result = place.run("weekly_retrain", select='key:"two_tower_model" or key:"item_vectors"')
    assert result.success, result.errors
    assert result.assets["two_tower_model"].stale == 1
    # Had it been trained on from the model in force, it would be another one now.
    assert place.shop().version("two_tower_model") == before
    vectors = result.assets["item_vectors"]
    assert vectors.new + vectors.stale + vectors.orphaned == 0 and vectors.reused > 0
