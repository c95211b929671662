"""The tables of what was measured.

Belongs here: declarations. Does not belong here: measurement.
"""

from __future__ import annotations

from fashionrec_assets.evaluation.slices import SLICE_NAMES
from fashionrec_assets.storage.tables import Column, Table

RANKING_REPORT = Table(
    name="ranking_report",
    meaning="Every figure of the ranking report: a method, a slice of users and targets, a metric at a cut-off.",
    columns=(
        Column("method", "VARCHAR", "The method's stable name, for example two_tower or item_knn."),
        Column(
            "slice",
            "VARCHAR",
            "Whom and what the figure is about.",
            values=SLICE_NAMES,
        ),
        Column(
            "metric",
            "VARCHAR",
            "What is measured.",
            values=(
                "recall",
                "ndcg",
                "precision",
                "mrr",
                "coverage",
                "novelty",
                "diversity_text",
                "diversity_type",
            ),
        ),
        Column("k", "INTEGER", "Length of the list.", minimum=1),
        Column("value", "DOUBLE", "Mean over users; for coverage a share of the pool; for novelty bits."),
        Column("low", "DOUBLE", "Lower end of the 95 % bootstrap interval over users.", nullable=True),
        Column("high", "DOUBLE", "Upper end of that interval.", nullable=True),
        Column("users", "BIGINT", "Users the mean is over.", minimum=0),
        Column("targets", "BIGINT", "Their targets in the slice, together.", minimum=0),
        Column("fit_seconds", "DOUBLE", "Wall-clock seconds it took to fit the method.", minimum=0),
        Column("score_seconds", "DOUBLE", "Wall-clock seconds it took to rank all users.", minimum=0),
        Column(
            "fit_growth_mb",
            "DOUBLE",
            "MiB the process grew by, at its peak, while the method was fitted.",
            nullable=True,
            minimum=0,
        ),
        Column("baseline", "BOOLEAN", "Whether the method is one of the simple ones a model is held against."),
    ),
    key=("method", "slice", "metric", "k"),
)

RANKING_ABLATIONS = Table(
    name="ranking_ablations",
    meaning="Reduced two-tower models, each with one choice turned: figures, differences to the reference, and cost.",
    columns=(
        Column("variant", "VARCHAR", "The variant's stable name; `reference` has the settings in force."),
        Column(
            "axis",
            "VARCHAR",
            "What was turned.",
            values=("reference", "fusion", "loss", "negatives", "modalities", "session", "combination"),
        ),
        Column("metric", "VARCHAR", "What is measured.", values=("ndcg", "recall", "cold_recall")),
        Column("k", "INTEGER", "Length of the list.", minimum=1),
        Column("value", "DOUBLE", "Mean over users and training runs.", minimum=0),
        Column("low", "DOUBLE", "Lower end of the 95 % bootstrap interval over users."),
        Column("high", "DOUBLE", "Upper end of that interval."),
        Column("difference", "DOUBLE", "The variant less the reference, over the same users.", nullable=True),
        Column("difference_low", "DOUBLE", "Lower end of its paired 95 % bootstrap interval.", nullable=True),
        Column("difference_high", "DOUBLE", "Upper end of that interval.", nullable=True),
        Column(
            "judgement",
            "VARCHAR",
            "What the interval in NDCG says of the technique: whether the side that has it is better.",
            values=("pays", "harms", "cannot_tell", "reference"),
        ),
        Column("technique", "VARCHAR", "In what the variant and the reference differ; empty for the reference."),
        Column("users", "BIGINT", "Users the mean is over.", minimum=0),
        Column("runs", "INTEGER", "Training runs, each with its own seed.", minimum=1),
        Column("train_seconds", "DOUBLE", "Wall-clock seconds of one training.", minimum=0),
        Column("growth_mb", "DOUBLE", "MiB the process's resident set grew by at its peak.", minimum=0),
    ),
    key=("variant", "metric", "k"),
)

NCF_ABLATIONS = Table(
    name="ncf_ablations",
    meaning="The study of fusion, VAE samples and neural matching: every figure of every reduced model, with its "
    "difference to the model it is judged against, and its cost.",
    columns=(
        Column("experiment", "INTEGER", "Number of the experiment the row belongs to.", minimum=0),
        Column("variant", "VARCHAR", "The variant's stable name."),
        Column("slice", "VARCHAR", "Whom and what the figure is about.", values=SLICE_NAMES),
        Column(
            "metric",
            "VARCHAR",
            "What is measured; base_mse is the error of foretelling the base rate, the line mse has to beat.",
            values=("ndcg", "recall", "precision", "mse", "base_mse"),
        ),
        Column("k", "INTEGER", "Length of the list; 0 for errors, which have none.", minimum=0),
        Column("value", "DOUBLE", "Mean over users and training runs.", minimum=0),
        Column("low", "DOUBLE", "Lower end of the 95 % bootstrap interval over users."),
        Column("high", "DOUBLE", "Upper end of that interval."),
        Column("reference", "VARCHAR", "Name of the variant it is judged against, if any.", nullable=True),
        Column("technique", "VARCHAR", "In what the two differ; empty where there is no reference."),
        Column("subject", "VARCHAR", "What that technique is about, for example vae, fusion or alignment."),
        Column("difference", "DOUBLE", "The variant less its reference, over the same users.", nullable=True),
        Column("difference_low", "DOUBLE", "Lower end of its paired 95 % bootstrap interval.", nullable=True),
        Column("difference_high", "DOUBLE", "Upper end of that interval.", nullable=True),
        Column(
            "judgement",
            "VARCHAR",
            "What the interval, and every training run, says of the technique by this metric in this slice.",
            values=("pays", "harms", "cannot_tell", "reference"),
        ),
        Column(
            "augmentation",
            "VARCHAR",
            "Where the synthetic rows in the training data come from.",
            values=("none", "vae", "neighbours", "attributes", "random"),
        ),
        Column("degree", "DOUBLE", "Synthetic rows for each real one.", minimum=0),
        Column("keep", "DOUBLE", "Share of the training events that were kept.", minimum=0),
        Column("windows_back", "INTEGER", "Test lengths by which the window lies before the test window.", minimum=0),
        Column("users", "BIGINT", "Users the mean is over.", minimum=0),
        Column("seeds", "INTEGER", "Training runs, each with its own seed.", minimum=1),
        Column("seed_sd", "DOUBLE", "Standard deviation over them; null for one run.", nullable=True, minimum=0),
        Column("train_seconds", "DOUBLE", "Wall-clock seconds of one training, samples included.", minimum=0),
    ),
    key=("experiment", "variant", "slice", "metric", "k"),
)

RETRIEVAL_REPORT = Table(
    name="retrieval_report",
    meaning="Every figure of the retrieval report: an arm of the ablation, a task, a metric, on held-out items.",
    columns=(
        Column("arm", "VARCHAR", "The techniques that are on, joined by +; `full`: all, `original`: none."),
        Column(
            "task",
            "VARCHAR",
            "What asks for what.",
            values=("text_to_image", "image_to_text", "image_to_image", "phrase_to_image", "zero_shot"),
        ),
        Column("part", "VARCHAR", "The slice of the queries; for zero_shot the field that is read off the photo."),
        Column("metric", "VARCHAR", "What is measured.", values=("hits", "mrr", "ndcg", "accuracy", "macro_f1")),
        Column("k", "INTEGER", "Cut-off of the ranking; 0 where there is none.", minimum=0),
        Column("value", "DOUBLE", "Mean over queries; over classes for macro_f1.", minimum=0),
        Column("low", "DOUBLE", "Lower end of the 95 % bootstrap interval over families, or over phrases."),
        Column("high", "DOUBLE", "Upper end of that interval."),
        Column("queries", "BIGINT", "Queries the figure is over.", minimum=0),
        Column("units", "BIGINT", "Families or phrases that the interval draws from.", minimum=0),
    ),
    key=("arm", "task", "part", "metric", "k"),
)

TECHNIQUE_EFFECTS = Table(
    name="technique_effects",
    meaning="What each technique of the content half adds: the same queries with it and without it.",
    columns=(
        Column("technique", "VARCHAR", "The technique.", values=("tuned", "grounded", "clarified")),
        Column(
            "setting",
            "VARCHAR",
            "Taken out of the arm with everything, or added to the original.",
            values=("added_last", "added_first"),
        ),
        Column("task", "VARCHAR", "What asks for what.", values=("text_to_image", "phrase_to_image")),
        Column("slice", "VARCHAR", "The slice of the queries."),
        Column("metric", "VARCHAR", "What is measured.", values=("hits", "mrr", "ndcg")),
        Column("k", "INTEGER", "Cut-off of the ranking; 0 where there is none.", minimum=0),
        Column("with_value", "DOUBLE", "The figure with the technique.", minimum=0),
        Column("without_value", "DOUBLE", "The figure without it.", minimum=0),
        Column("difference", "DOUBLE", "The first less the second."),
        Column("low", "DOUBLE", "Lower end of its paired 95 % bootstrap interval."),
        Column("high", "DOUBLE", "Upper end of that interval."),
        Column("intervals_apart", "BOOLEAN", "Whether the two figures' own intervals do not overlap."),
        Column("queries", "BIGINT", "Queries the figures are over.", minimum=0),
        Column(
            "judgement",
            "VARCHAR",
            "What the interval says, with the smallest gain worth having.",
            values=("pays", "does_not_pay", "harms", "cannot_tell"),
        ),
        Column("verdict", "VARCHAR", "The report's sentence, on the effect that decided it.", nullable=True),
    ),
    key=("technique", "setting", "task", "slice", "metric", "k"),
)

TABLES = (RANKING_REPORT, RANKING_ABLATIONS, NCF_ABLATIONS, RETRIEVAL_REPORT, TECHNIQUE_EFFECTS)
