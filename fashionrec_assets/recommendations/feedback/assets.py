"""The assets that learn from answers to explanations.

Belongs here: reading, one call, writing, and what the UI shows. Does not belong here: learning, the form of exports.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from fashionrec_assets.recommendations.feedback.answers import Answer, answers, segments
from fashionrec_assets.recommendations.feedback.exports import (
    Exports,
    Pseudonyms,
    known_evidence,
    prompt_of,
    reply_of,
    training_examples,
    write_lines,
)
from fashionrec_assets.recommendations.feedback.strategies import ARTIFACT, FILE, fit_strategies
from fashionrec_assets.recommendations.feedback.tables import EXPLANATION_STRATEGIES, strategy_rows
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.warehouse import replace_rows

STRATEGIES = Stage(ARTIFACT, "model", version="1", settings=("seed",))
EXPORTS = Stage("feedback_exports", "report", version="1", settings=("explanations", "seed"))
SUPERVISED, PREFERENCES = "feedback.supervised.jsonl", "feedback.preferences.jsonl"


@dg.asset(
    **asset_spec(
        STRATEGIES,
        group="recommendations",
        deps=["feedback", "users"],
        kinds={"python"},
        tables=[EXPLANATION_STRATEGIES],
    )
)
def explanation_strategies(shop: ShopParam) -> dg.MaterializeResult:
    """What an explanation had best lead with, for whom: learned from answers; nothing while there are none."""
    with shop.stage(STRATEGIES) as run:
        told = answers(shop)
        group = segments(shop, sorted({one.user_id for one in told}))
        inputs = {"feedback": shop.version("feedback"), "segments": digest(group)}
        plan = run.plan_whole(inputs, exists=shop.version_or_none(ARTIFACT) is not None)
        if plan.todo:
            found = fit_strategies(told, group, seed=shop.settings.seed)
            version = digest(inputs)[:16]
            if not shop.artifacts.exists(ARTIFACT, version):
                with shop.artifacts.write(ARTIFACT, version) as folder:
                    found.save(folder / FILE)
            with run.commit(plan, {WHOLE: version}) as connection:
                replace_rows(connection, EXPLANATION_STRATEGIES, strategy_rows(found))
            shop.artifacts.prune(ARTIFACT, [version])
        with shop.warehouse.reader() as connection:
            rows = connection.execute(
                "SELECT dimension, segment, option, round(expected, 4) AS expected, answers, established "
                "FROM explanation_strategies WHERE answers > 0 ORDER BY dimension, segment, expected DESC, option"
            ).fetch_df()
        return materialized(run, rows=len(rows), answers=len(told), expected=table_of(rows.to_dict("records")))


@dg.asset(**asset_spec(EXPORTS, group="recommendations", deps=["feedback", "explanations"], kinds={"openai", "json"}))
def feedback_exports(shop: ShopParam) -> dg.MaterializeResult:
    """Answers as training data for a language model: JSON lines for fine-tuning, and for direct preferences.

    Nothing is sent anywhere; without an endpoint in the environment there is nothing to train, and the files wait. A
    model that was fine-tuned with them is put to use by its name, `explanations.model`.
    """
    with shop.stage(EXPORTS) as run:
        files = [shop.reports / name for name in (SUPERVISED, PREFERENCES)]
        plan = run.plan_whole(
            {"feedback": shop.version("feedback"), "explanations": shop.digest("explanations")},
            exists=all(file.exists() for file in files),
        )
        left_out: dict[str, int] = {}
        told = answers(shop) if plan.todo else []
        if plan.todo:
            exports = _examples(shop, told) if told else Exports((), (), {})
            for file, lines in zip(files, (exports.supervised, exports.preferences), strict=True):
                write_lines(file, lines)
            left_out = dict(exports.left_out)
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}):
                pass
        counts = [len(file.read_text("utf-8").splitlines()) for file in files]
        return materialized(
            run,
            rows=counts[0],
            preference_pairs=counts[1],
            left_out=table_of([{"why": why, "answers": count} for why, count in left_out.items()]),
            supervised=dg.MetadataValue.path(str(files[0].resolve())),
            preferences=dg.MetadataValue.path(str(files[1].resolve())),
        )


def _examples(shop: Shop, told: Sequence[Answer]) -> Exports:
    settings = shop.settings.explanations
    evidence, published = known_evidence(shop, sorted({one.user_id for one in told}))
    return training_examples(
        told,
        evidence,
        Pseudonyms.kept_in(shop.home / "cache" / "pseudonyms.key"),
        prompt=prompt_of(settings, shop.settings.seed),
        reply=reply_of(settings, published),
    )
