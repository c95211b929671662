"""The one settings tree: every knob of the lineage, typed, with its default and its unit.

Belongs here: declarations, presets, and the rules by which a value is found. Does not belong here: anything that
reads data, opens a file other than `settings.json`, or imports a model library.

A value is taken from the first of these that names it:

1. an argument of `Settings.load` (the command line's flags),
2. an environment variable, `FASHIONREC_<SECTION>__<NAME>` (for example `FASHIONREC_TWO_TOWER__EPOCHS=5`),
3. `<home>/settings.json`, which `fashionrec run` writes so that later commands see the same shop,
4. the preset (`demo`, `quick` or `standard`),
5. the default below.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

Preset = Literal["demo", "quick", "standard"]
Behaviour = Literal["pv", "fav", "cart", "buy"]

DEFAULT_HOME = Path("data/home")
DEFAULT_RAW = Path("data/sample_shop")


class Section(BaseModel):
    """A branch of the tree: immutable, and an unknown name is an error rather than a silent no-op."""

    # A value refused may be a secret in the wrong place: an error names the setting, not what stood there.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ModelCallSettings(Section):
    """How a language model behind any OpenAI-compatible endpoint is called, where `provider` is `openai`."""

    section: ClassVar[str] = ""
    """The branch of the tree, as environment variables name it."""

    model: str | None = Field(default=None, description="`openai`: the model's name at the endpoint; required")
    max_output_tokens: int = Field(default=800, ge=64, description="`openai`: of one answer, reasoning included")
    temperature: float | None = Field(default=None, ge=0, le=2, description="`openai`: None leaves it to the model")
    output_limit_name: Literal["max_completion_tokens", "max_tokens"] = Field(
        default="max_completion_tokens", description="`openai`: what the endpoint calls the limit of an answer"
    )
    call_timeout_s: float = Field(default=60.0, gt=0, description="`openai`: seconds for one call")
    max_attempts: int = Field(default=5, ge=1, description="`openai`: attempts of one call")
    backoff_s: float = Field(default=1.0, gt=0, description="`openai`: scale of the exponential backoff, with jitter")
    longest_wait_s: float = Field(
        default=120.0, gt=0, description="`openai`: a server that asks for a longer pause ends the calls of this run"
    )
    give_up_after: int = Field(
        default=20, ge=1, description="`openai`: so many failed calls in a row end the calls of this run"
    )
    price_in: float | None = Field(default=None, ge=0, description="`openai`: currency per million tokens read")
    price_out: float | None = Field(default=None, ge=0, description="`openai`: currency per million tokens written")
    budget: float | None = Field(
        default=None, ge=0, description="`openai`: most that one run may cost, in the prices' currency; None: no cap"
    )
    token_cap: int | None = Field(default=None, ge=0, description="`openai`: most tokens of one run; None: no cap")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if getattr(self, "provider", None) == "openai" and not self.model:
            raise ValueError(f"provider openai needs the model's name: set FASHIONREC_{self.section}__MODEL")
        if self.budget is not None and (self.price_in is None or self.price_out is None):
            raise ValueError(f"a budget needs both prices: set FASHIONREC_{self.section}__PRICE_IN and __PRICE_OUT")
        return self


class StorageSettings(Section):
    buckets: int = Field(default=64, ge=1, description="hash buckets a per-item artifact is spread over")
    lock_timeout_s: float = Field(default=120.0, gt=0, description="how long to wait for another process's transaction")
    run_wait_s: float = Field(default=21_600.0, gt=0, description="how long a run waits for another one in its home")
    lease_timeout_s: float = Field(
        default=600.0, gt=0, description="a run on another host that gave no sign of life for so long counts as dead"
    )
    memory_limit: str = Field(default="2GB", description="DuckDB's memory limit; beyond it, DuckDB spills to disk")
    threads: int = Field(default=2, ge=1, description="DuckDB's threads")
    backups: bool = Field(default=True, description="keep a copy of the warehouse as the last run left it")
    keep_runs: int = Field(
        default=30,
        ge=1,
        description="newest runs whose events the Dagster instance keeps, beside those that made what is there now; a "
        "night is two",
    )


class CatalogSettings(Section):
    max_image_pixels: int = Field(
        default=40_000_000, ge=1, description="photos with more pixels are refused as oversized"
    )
    max_image_bytes: int = Field(
        default=50_000_000, ge=1, description="photo files with more bytes are refused as oversized"
    )
    max_title_chars: int = Field(default=2_000, ge=1, description="longer titles are rejected")
    max_text_chars: int = Field(default=20_000, ge=1, description="longer descriptions are rejected")
    earliest_event: str = Field(default="2005-01-01", description="events before this day are impossible")
    latest_event: str | None = Field(
        default=None, description="events after this UTC time are in the future; None means now, on the day of the run"
    )
    bot_events_per_day: int = Field(
        default=400, ge=1, description="a user with more events on one day is flagged as a bot"
    )
    session_gap_minutes: int = Field(default=30, ge=1, description="a longer pause starts a new session")


class SplitSettings(Section):
    validation_days: int | None = Field(default=None, ge=1, description="None: the source's own default")
    test_days: int | None = Field(default=None, ge=1, description="None: the source's own default")


class CropSettings(Section):
    provider: Literal["segmentation", "grounding_dino", "whole_image"] = "segmentation"
    margin: float = Field(default=0.04, ge=0, le=0.5, description="share of the box's size added on every side")
    min_area: float = Field(
        default=0.02, ge=0, le=1, description="a smaller share of the photo is not a garment: fall back"
    )
    max_side: int = Field(default=320, ge=32, description="pixels; crops are stored no larger than this")
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    model: str = Field(
        default="IDEA-Research/grounding-dino-tiny",
        description="`grounding_dino`: a Grounding DINO on the Hugging Face hub, or a local folder",
    )
    revision: str | None = Field(
        default=None, description="`grounding_dino`: branch, tag or commit of `model` on the hub; a commit is recorded"
    )
    box_threshold: float = Field(
        default=0.35, ge=0, lt=1, description="`grounding_dino`: boxes with a lower score are left out"
    )
    text_threshold: float = Field(
        default=0.25, ge=0, lt=1, description="`grounding_dino`: a box shows a prompt's word from this score on"
    )
    batch_size: int = Field(default=4, ge=1, description="`grounding_dino`: photos the model sees at once")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="`grounding_dino`: of matrix products; float16 is for GPUs"
    )


class DescriptionSettings(ModelCallSettings):
    section: ClassVar[str] = "DESCRIPTIONS"

    provider: Literal["deterministic", "openai"] = Field(
        default="deterministic",
        description="`openai`: a language model behind any OpenAI-compatible endpoint (OPENAI_BASE_URL, "
        "OPENAI_API_KEY); no preset chooses it: it costs money and sends catalog texts and photos to that endpoint",
    )
    max_chars: int = Field(default=400, ge=40)
    prompts: str = Field(default="v1", description="`openai`: version of the packaged prompts, or a folder of your own")
    max_rounds: int = Field(default=5, ge=1, description="`openai`: drafts and judgements of one item at the most")
    send_photo: bool | Literal["auto"] = Field(
        default="auto", description="`openai`: send the crop of the photo; auto: unless the endpoint refuses images"
    )
    concurrency: int = Field(default=8, ge=1, description="`openai`: items asked about at the same time")
    timeout_s: float = Field(default=300.0, gt=0, description="`openai`: seconds for one item, with retries and waits")
    image_tokens: int = Field(default=3_000, ge=0, description="`openai`: most tokens that a photo counts as")
    batch_api: Literal["never", "auto", "always"] = Field(
        default="auto", description="`openai`: auto: from `batch_min_items` items on, if the endpoint has a Batch API"
    )
    batch_min_items: int = Field(default=2_000, ge=1)
    batch_max_items: int = Field(
        default=10_000, ge=1, le=50_000, description="`openai`: items in one batch at the most; endpoints have limits"
    )
    batch_price_share: float = Field(default=0.5, ge=0, le=1, description="`openai`: share of the prices in a batch")
    max_output_tokens: int = Field(default=1_500, ge=64, description="`openai`: of one answer, reasoning included")


class ClipSettings(Section):
    model: str | None = Field(
        default=None,
        description="open_clip model name, `hf-hub:` id or local folder to start from; None: the compact model, from "
        "scratch",
    )
    pretrained: str | None = Field(default=None, description="open_clip pretrained tag or weights file, with `model`")
    fine_tune: bool = Field(
        default=True, description="train `model` on this catalog; off takes its weights as they are"
    )
    text_tower: Literal["own", "frozen", "sentences"] = Field(
        default="own",
        description="of `model`: train its text tower, freeze it, or put a projection of the sentence encoder's "
        "vectors in its place; the compact model always has the last",
    )
    lora_rank: int = Field(
        default=0, ge=0, description="rank of LoRA adapters in the blocks of `model`; 0: no adapters"
    )
    trainable_blocks: int | None = Field(
        default=None, ge=0, description="uppermost blocks of each tower of `model` that are trained; None: all"
    )
    layer_decay: float = Field(
        default=0.75, gt=0, le=1, description="factor on the learning rate from a block of `model` to the one below"
    )
    loss: Literal["infonce", "sigmoid"] = Field(default="infonce", description="InfoNCE of CLIP, or SigLIP's loss")
    hard_negatives: float = Field(
        default=0.0, ge=0, le=1, description="share of a batch drawn from items of one product type"
    )
    image_height: int = Field(default=96, ge=16, description="pixels the compact model sees")
    image_width: int = Field(default=64, ge=16, description="pixels the compact model sees")
    embed_dim: int = Field(default=128, ge=8, description="dimension of the compact model's vectors")
    epochs: int = Field(
        default=12, ge=1, description="most epochs on a large catalog; see `least_presented` for a small one"
    )
    least_presented: int = Field(
        default=10_000,
        ge=0,
        description="pairs shown to the compact model in total at the least: a small catalog gets more epochs",
    )
    patience: int = Field(
        default=5, ge=1, description="epochs without a better retrieval of validation pairs before training stops"
    )
    batch_size: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0, description="of what starts from scratch")
    tune_learning_rate: float = Field(default=2e-5, gt=0, description="of the uppermost pretrained layers")
    weight_decay: float = Field(default=0.1, ge=0)
    warm_start: float = Field(
        default=0.35,
        ge=0,
        le=1,
        description="share of the epochs taken when the catalog changed and training starts from the model in force; "
        "0: always from the beginning, as after a change of settings",
    )
    validation_share: float = Field(default=0.1, ge=0, lt=0.5, description="share of items that choose the epoch")
    test_share: float = Field(
        default=0.2, ge=0, lt=0.5, description="share of items kept for the retrieval report; no model sees them"
    )
    test_most: int = Field(default=2_000, ge=1, description="items in the validation and in the test part at the most")
    ablations: bool = Field(
        default=True, description="train the model again without grounding and without clarified text, for the report"
    )
    max_train_seconds: float | None = Field(
        default=None, gt=0, description="None: no limit; a limit gives up determinism"
    )
    retrain_share: float = Field(
        default=0.2, ge=0, le=1, description="retrain once this share of the pairs has changed"
    )
    max_pairs: int = Field(
        default=50_000, ge=2, description="pairs trained on at the most; a larger catalog is sampled by a stable hash"
    )
    training_precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="of matrix products in training; auto: bfloat16 where the device has instructions for it (GPUs "
        "from compute capability 8.0, processors with AMX), float32 elsewhere",
    )
    encode_batch: int = Field(default=64, ge=1)
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="of matrix products in encoding; bfloat16 is for processors with AMX and for GPUs, float16 for "
        "GPUs",
    )


class TextSettings(Section):
    model: str | None = Field(
        default=None, description="sentence-transformers name or local folder; None is the hash-verified MiniLM package"
    )
    encode_batch: int = Field(default=64, ge=1)
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="of matrix products; bfloat16 is for processors with AMX and for GPUs, float16 for GPUs",
    )


class TokenSettings(Section):
    text_model: str | None = Field(
        default=None,
        description="BERT-family transformer whose token states are kept: name on the hub or local folder; None: the "
        "sentence encoder's own",
    )
    image_model: str | None = Field(
        default=None,
        description="ViT whose patch states are kept: name on the hub or local folder; None: the image tower of the "
        "CLIP model in force",
    )
    text_tokens: int = Field(
        default=24, ge=1, description="tokens kept of a description at the most; a longer one is averaged down to them"
    )
    image_side: int = Field(
        default=4, ge=1, description="rows and columns of patches at the most; a finer grid is averaged down to them"
    )
    encode_batch: int = Field(default=64, ge=1)


class SynthesisSettings(Section):
    degree: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="synthetic rows for each real training row; None: the best that `augmentation_sweep` found",
    )
    temperature: float | None = Field(
        default=None, gt=0, le=5, description="factor on the standard deviation latents are drawn with; None: the same"
    )
    weight: float | None = Field(
        default=None, ge=0, le=1, description="weight of a synthetic row beside a real one's 1; None: the same"
    )
    content_dim: int = Field(default=32, ge=2, description="principal components of content that the VAE reads")
    latent: int = Field(default=16, ge=1)
    hidden: int = Field(default=128, ge=4)
    epochs: int = Field(default=12, ge=1)
    batch_size: int = Field(default=512, ge=2)
    learning_rate: float = Field(default=4e-3, gt=0)
    kl_weight: float = Field(default=0.2, ge=0, description="weight of the KL term once annealing has ended")
    kl_warmup: float = Field(
        default=0.5, ge=0, le=1, description="share of the steps in which that weight grows from 0"
    )
    free_bits: float = Field(default=0.02, ge=0, description="nats of a latent dimension that cost nothing")
    least_steps: int = Field(
        default=1_000, ge=0, description="steps of training at the least: a small log gets more epochs"
    )
    most_rows: int = Field(default=50_000, ge=10, description="real rows the VAE is trained on at the most, sampled")


class NcfSettings(Section):
    modalities: tuple[Literal["text", "image", "id"], ...] = Field(
        default=("text", "image", "id"), min_length=1, description="what is known of an item"
    )
    fusion: Literal["early", "intermediate", "late"] = Field(
        default="intermediate",
        description="of text tokens and image patches: encoded as one sequence, by the cross-modal block, or scored "
        "apart and the scores combined",
    )
    alignment: float = Field(
        default=0.0, ge=0, description="weight of an InfoNCE loss between the two pooled modalities; 0: not aligned"
    )
    scorer: Literal["neumf", "gmf", "mlp", "dot"] = Field(
        default="neumf", description="NeuMF, one of its two halves, or a plain dot product"
    )
    pretrain: bool = Field(default=False, description="`neumf`: start from a GMF and an MLP that were trained alone")
    cold_items: Literal["vae", "neighbours", "unknown"] = Field(
        default="vae",
        description="the ID embedding of an item without events: generated from its content by a VAE, averaged over "
        "its nearest items with events, or one vector for all",
    )
    cold_neighbours: int = Field(default=10, ge=1, description="`cold_items=neighbours`: how many are averaged")
    new_item_price: float = Field(
        default=0.04,
        ge=0,
        lt=1,
        description="share of the NDCG of items with events, on people kept back, given up so that new ones are shown",
    )
    dim: int = Field(default=64, ge=4)
    token_dim: int = Field(default=64, ge=4, description="width in which tokens attend to each other")
    layers: int = Field(default=1, ge=1, description="blocks of the fusion, stacked")
    heads: int = Field(default=2, ge=1)
    mlp: tuple[int, ...] = Field(default=(16, 8), min_length=1, description="widths of the layers of NeuMF's MLP")
    dropout: float = Field(default=0.1, ge=0, lt=1)
    id_dropout: float = Field(default=0.5, ge=0, lt=1, description="share of items whose ID is hidden in a step")
    modality_dropout: float = Field(default=0.1, ge=0, lt=1, description="share whose text or image is hidden")
    history: int = Field(default=20, ge=1, description="most recent events of a user that describe them")
    negatives: int = Field(default=256, ge=1, description="sampled negatives shared by a batch")
    uniform_negatives: float = Field(default=0.5, ge=0, le=1, description="share of them drawn uniformly")
    popularity_half_lives: tuple[float, ...] = Field(
        default=(7.0,), min_length=1, description="days after which an event counts half; each is a popularity term"
    )
    batch_size: int = Field(default=512, ge=2)
    learning_rate: float = Field(default=5e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    epochs: int = Field(default=4, ge=1)
    patience: int = Field(default=2, ge=1, description="epochs without a better NDCG on people kept back")
    kept_back: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="share of the people of the last days before the cut whose last days choose epochs and calibrate",
    )
    sweep_degrees: tuple[float, ...] = Field(
        default=(0.25, 1.0), description="degrees of augmentation the sweep tries beside 0"
    )
    sweep_weights: tuple[float, ...] = Field(default=(0.3,), description="weights of synthetic rows it tries")
    sweep_temperatures: tuple[float, ...] = Field(default=(1.0,), description="temperatures it tries")
    sweep_events: int = Field(
        default=20_000, ge=1, description="events its models are trained on at the most; people are sampled whole"
    )
    sweep_epochs: int = Field(default=3, ge=1)


class TwoTowerSettings(Section):
    dim: int = Field(default=64, ge=4)
    history: int = Field(default=50, ge=1, description="most recent events the user tower reads")
    layers: int = Field(default=1, ge=1)
    heads: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    modalities: tuple[Literal["text", "image", "id", "categories", "price", "age"], ...] = Field(
        default=("text", "image", "id", "categories", "price", "age"),
        min_length=1,
        description="what the item tower reads of an item; price only where the source has it apart from the log",
    )
    fusion: Literal["attention", "concat", "mean"] = Field(
        default="attention", description="how the item tower makes one vector of its views"
    )
    modality_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of items of which a view other than the ID is hidden in a step"
    )
    id_dropout: float = Field(
        default=0.5, ge=0, lt=1, description="share of items whose ID embedding is hidden in a step"
    )
    session_aware: bool = Field(
        default=True, description="short-term intent of the current session, gated against long-term taste"
    )
    query_gap: bool = Field(
        default=False, description="whether the user tower knows how long ago the last event was when it is asked"
    )
    loss: Literal["sampled_softmax", "infonce", "bpr", "gbce"] = "sampled_softmax"
    negatives: int = Field(
        default=1024, ge=1, description="sampled negatives shared by a batch; all items if that many"
    )
    uniform_negatives: float = Field(
        default=0.5, ge=0, le=1, description="share of them drawn uniformly, not by popularity"
    )
    in_batch_negatives: bool = Field(default=True, description="the targets of a batch are negatives of each other")
    hard_negatives: int = Field(
        default=0, ge=0, description="negatives mined for every user each epoch after the first; 0: none"
    )
    gbce_calibration: float = Field(
        default=0.75, ge=0, le=1, description="`gbce`: t of gSASRec; 0 is plain BCE, 1 undoes the sampling in full"
    )
    task_weighting: Literal["uncertainty", "fixed"] = Field(
        default="uncertainty", description="weights of the heads for later behaviours: learned, or all one"
    )
    new_items_only: bool = Field(default=True, description="learn only from events whose item is new to their user")
    popularity_half_lives: tuple[float, ...] = Field(
        default=(7.0,), min_length=1, description="days after which an event counts half; each is a popularity term"
    )
    temperature: float = Field(default=0.1, gt=0)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=5e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    weight_average: float = Field(
        default=0.99, ge=0, lt=1, description="decay per step of the running average that is served"
    )
    epochs: int = Field(default=6, ge=1)
    patience: int = Field(default=2, ge=1, description="epochs without a better validation NDCG before training stops")
    refit: bool = Field(
        default=True, description="train the served model on everything up to now; off: serve the evaluated model"
    )
    warm_start: float = Field(
        default=0.35,
        ge=0,
        le=1,
        description="share of the epochs taken when only data changed and training starts from the model in force; "
        "0: always from the beginning, as after a change of settings",
    )
    retrain_share: float = Field(default=0.01, ge=0, le=1, description="retrain once this share of events has changed")


class IndexSettings(Section):
    flat_up_to: int = Field(default=200_000, ge=1, description="items up to which the exact Flat index is used")
    hnsw_up_to: int = Field(
        default=0,
        ge=0,
        description="items up to which HNSW is used where Flat is not; beyond, IVF, which builds faster",
    )
    ivf_up_to: int | None = Field(
        default=None,
        ge=0,
        description="items up to which IVF is used where Flat and HNSW are not; beyond, IVF-PQ; None: while it fits",
    )
    memory_limit_mib: float = Field(
        default=4_096.0, gt=0, description="what an index may take in memory before the vectors are compressed (IVF-PQ)"
    )
    recall_target: float = Field(
        default=0.99, gt=0, le=1, description="recall@10 of exact search below which a check fails"
    )
    recall_sample: int = Field(default=500, ge=1, description="queries used to measure that recall")
    rebuild_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="an approximate index is built anew once this share of its places is dead or younger than it",
    )
    build_threads: int = Field(
        default=1, ge=1, description="threads of a build; more than 1 gives up equal bytes with HNSW"
    )
    hnsw_m: int = Field(default=32, ge=2, description="links a node keeps in the HNSW graph")
    hnsw_ef_construction: int = Field(default=80, ge=8, description="candidates looked at when a node is linked")
    ivf_train_per_list: int = Field(default=64, ge=1, description="training vectors for each IVF list")
    ivf_refine_factor: int = Field(default=10, ge=1, description="IVF-PQ candidates scored again; tuning may raise it")


class RankingSettings(Section):
    candidates: int = Field(default=100, ge=10, description="candidates of a source; item-kNN and two-tower give twice")
    new_candidates: int = Field(
        default=40, ge=0, description="items without events among them, by content and by two-tower each"
    )
    window_days: int | None = Field(
        default=None,
        ge=1,
        description="days before the cut the ranker learns from; None: as many as are tested. The two-tower model "
        "whose scores it learns from is trained on what came before them",
    )
    enough_users: int = Field(
        default=2_000,
        ge=1,
        description="users of the last window below which one that ends a day earlier is added to it, and so on",
    )
    windows: int = Field(default=2, ge=1, description="windows it learns from at the most")
    train_users: int = Field(
        default=4_000, ge=10, description="users it learns from at the most, a seeded sample of each window"
    )
    train_candidates: int = Field(
        default=128, ge=2, description="candidates of a list in a step of training, drawn anew each epoch"
    )
    folds: int = Field(default=4, ge=2, description="networks, each trained without one part of the users")
    hidden: int = Field(default=64, ge=2)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=64, ge=1, description="users a step")
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    new_item_price: float = Field(
        default=0.02, ge=0, lt=1, description="share of NDCG given up so that items without events are shown"
    )


class RecommendationSettings(Section):
    homepage_size: int = Field(default=20, ge=1, description="items of the row `for you`")
    shelf_size: int = Field(default=8, ge=0, description="items of each further row at the most; 0: no further rows")
    shelf_least: int = Field(default=3, ge=1, description="a further row with fewer items is left out")
    diversity: float = Field(
        default=0.3, ge=0, le=1, description="weight of diversity against relevance in MMR; 0: by relevance alone"
    )
    new_days: int = Field(default=14, ge=1, description="days from its launch on during which an item counts as new")
    rules: str = Field(default="rules.csv", description="business rules, relative to the raw folder; may be absent")
    similar_size: int = Field(default=12, ge=1)
    repeat_purchases: bool = Field(
        default=False, description="whether an item the user bought may be shown to them again"
    )
    show_seen: bool = Field(default=True, description="whether an item the user looked at but did not buy may be shown")
    popular_days: int = Field(
        default=7, ge=1, description="popularity counts this many last days of the log, more if too few"
    )
    popular_size: int = Field(default=200, ge=1, description="items kept for users without a usable vector")
    image_weight: float = Field(
        default=0.5, ge=0, le=1, description="weight of photos in item similarity; the rest is text"
    )


class ExplanationSettings(ModelCallSettings):
    section: ClassVar[str] = "EXPLANATIONS"

    history_items: int = Field(
        default=10, ge=1, description="the newest items of a user of which it is asked how far the score falls without"
    )
    facts: int = Field(default=6, ge=1, description="facts kept for an explanation at the most, the weightiest")
    look_alike: float = Field(
        default=0.8, ge=-1, le=1, description="cosine of two photos from which on items are said to look alike"
    )
    wording_alike: float = Field(
        default=0.75, ge=-1, le=1, description="cosine of two descriptions from which on they are said to read alike"
    )
    tone: Literal["plain", "warm"] = "plain"
    length: Literal["short", "normal"] = Field(default="normal", description="short: one claim; normal: up to three")
    language: Literal["en"] = Field(default="en", description="claims are checked in English only")
    provider: Literal["rules", "openai"] = Field(
        default="rules",
        description="`openai`: a language model behind any OpenAI-compatible endpoint (OPENAI_BASE_URL, "
        "OPENAI_API_KEY); no preset chooses it: it costs money and sends facts about users, without their ids, to that "
        "endpoint",
    )
    prompts: str = Field(default="v1", description="`openai`: version of the packaged prompts, or a folder of your own")
    rounds: int = Field(
        default=2, ge=1, description="`openai`: answers asked for one text at the most, refused claims sent back"
    )
    concurrency: int = Field(default=8, ge=1, description="`openai`: texts asked for at the same time")


class FeedbackSettings(Section):
    rows: int = Field(
        default=1_500, ge=1, description="explanations of each surface that the report is about, a stable sample"
    )
    counterfactual_rows: int = Field(
        default=300, ge=0, description="explanations of the homepage whose cited events are taken away; 0: none"
    )
    counterfactual_draws: int = Field(
        default=3, ge=1, description="times that as many random events are taken away instead"
    )
    drift: float = Field(
        default=0.05, ge=0, description="share of its earlier value a figure may lie outside its last interval"
    )
    judges: tuple[str, str] | None = Field(
        default=None, description="two models at the endpoint that grade explanations for the report; None: no calls"
    )
    judge_rows: int = Field(default=50, ge=1, description="explanations that both judges grade")
    judge_token_cap: int = Field(default=200_000, ge=0, description="most tokens of one judge in one run")


class OutfitSettings(Section):
    complements: int = Field(default=12, ge=1, description="items listed as going with an item")
    looks: int = Field(default=2, ge=0, le=3, description="complete looks around an item at the most")
    slot_candidates: int = Field(default=6, ge=1, description="items of a slot that a look may be made of")
    beam: int = Field(default=8, ge=1, description="unfinished looks kept by the beam search")
    coherence: float = Field(
        default=2.0, ge=0, description="weight of how alike photos and texts of a look are, natural log units"
    )
    enough_baskets: int = Field(
        default=1_000,
        ge=1,
        description="baskets with two designs or more below which carts count as baskets too, then favourites, then "
        "all events",
    )
    window_days: int | None = Field(
        default=None,
        ge=1,
        description="days before the cut whose baskets the weights are learned from; None: a fifth of the log",
    )
    train_baskets: int = Field(default=2_000, ge=10, description="baskets they are learned from at the most, sampled")
    negatives: int = Field(default=100, ge=2, description="items a held-out item is told from, in either part")
    type_weight: float = Field(
        default=0.5, ge=0, description="weight of telling an item from others of its type, against from any other"
    )
    partner_weight: float = Field(
        default=1.0, ge=0, description="weight of telling it from items that baskets had with the given ones"
    )
    ridge: float = Field(default=1.0, ge=0, description="L2 penalty on standardised weights, in questions")
    evaluated_baskets: int = Field(
        default=4_000, ge=1, description="test baskets the report is about at the most, a seeded sample"
    )


class StyleSettings(Section):
    count: int | None = Field(
        default=None, ge=1, description="number of styles; None: the one with the best silhouette"
    )
    image_weight: float = Field(default=0.25, ge=0, description="weight of the photo in what items are compared by")
    text_weight: float = Field(default=0.25, ge=0, description="weight of the text's vector")
    attribute_weight: float = Field(default=0.5, ge=0, description="weight of the attributes, such as type and pattern")
    name_share: float = Field(
        default=0.6, gt=0.5, le=1, description="share of a style's items of which its name must be true"
    )
    examples: int = Field(default=6, ge=1, description="items that stand for a style")
    retrain_share: float = Field(
        default=0.2, ge=0, le=1, description="styles are made anew once this share of the items has changed"
    )
    picks: int = Field(default=10, ge=1, description="items of the list that widens a user's choice")
    per_style: int = Field(default=3, ge=1, description="items of one style in that list at the most")
    candidates: int = Field(default=400, ge=10, description="closest items by the two-tower model it is chosen from")
    rare_share: float = Field(
        default=0.1, ge=0, le=1, description="a style with no more of a user's different items counts as unexplored"
    )
    exploration: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="dial of that list, from the likeliest items (0) to the most novel styles (1); an item's chance "
        "is at least 1 less this, times that of the last item the list would show at 0",
    )
    report_users: int = Field(default=1_000, ge=2, description="users the report measures on, at the most")


class AssistantSettings(ModelCallSettings):
    section: ClassVar[str] = "ASSISTANT"

    size: int = Field(default=5, ge=1, description="items in an answer, unless another number is asked for")
    text_weight: float = Field(default=1.0, ge=0, description="of how near a description is to the query, standardised")
    image_weight: float = Field(default=0.25, ge=0, description="of how near a photo is to the query, standardised")
    user_weight: float = Field(
        default=2.0, ge=0, description="of the two-tower model's score for the user, standardised"
    )
    price_weight: float = Field(default=0.5, ge=0, description="of the log price, standardised, for words like cheap")
    popular_days: int = Field(default=7, ge=1, description="window of the people an answer counts for an item")
    provider: Literal["deterministic", "openai"] = Field(
        default="deterministic",
        description="who reads a query; `openai`: a language model behind any OpenAI-compatible endpoint "
        "(OPENAI_BASE_URL, OPENAI_API_KEY), checked against the text; no preset chooses it",
    )
    report_queries: int = Field(default=240, ge=0, description="queries the report asks, made from held-out items")
    report_users: int = Field(default=200, ge=0, description="users of the test days the report asks for")
    call_timeout_s: float = Field(default=20.0, gt=0, description="`openai`: seconds for one call")
    max_attempts: int = Field(default=2, ge=1, description="`openai`: attempts of one call")
    longest_wait_s: float = Field(
        default=20.0, gt=0, description="`openai`: a server that asks for a longer pause is not waited for"
    )


class AutomationSettings(Section):
    """When runs start by themselves, and who hears of those that fail."""

    enabled: bool = Field(
        default=False,
        description="whether the schedules and sensors run unless the UI says otherwise; off: all stopped",
    )
    timezone: str = Field(default="UTC", description="of the crons below, by its IANA name")
    nightly_cron: str = Field(default="15 3 * * *", description="the daily refresh")
    weekly_cron: str = Field(
        default="45 4 * * 0", description="models are trained from the beginning, and reduced models are measured"
    )
    retry_cron: str = Field(
        default="0 */6 * * *",
        description="an asset that failed waits for the next of these times, unless its data or code changes before",
    )
    evaluate_s: int = Field(default=60, ge=5, description="seconds between two looks at the assets' conditions")
    stable_seconds: float = Field(
        default=60.0, gt=0, description="a raw file counts as arrived once it has not changed for so long"
    )
    fresh_warn_hours: float = Field(
        default=26.0, gt=0, description="the index, the pages and the reports are late when older than this"
    )
    fresh_fail_hours: float = Field(default=50.0, gt=0, description="and stale when older than this")
    max_retries: int = Field(
        default=3, ge=0, description="further attempts at an asset whose error may pass, such as a busy warehouse"
    )
    retry_wait_s: float = Field(default=10.0, gt=0, description="longest wait before the first of them; then doubled")
    longest_retry_wait_s: float = Field(default=300.0, gt=0, description="and never longer than this")
    lost_after_minutes: float = Field(
        default=15.0, gt=0, description="a run without a process and without a sign of life for so long has failed"
    )
    notify: str = Field(
        default="log",
        pattern=r"^(log|webhook|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="who hears of failed runs and failed ERROR checks: log, webhook (FASHIONREC_WEBHOOK_URL), or your "
        "own function as package.module:function",
    )
    executor: Literal["in_process", "multiprocess"] = Field(
        default="in_process", description="multiprocess: a process for each asset, which costs seconds of start each"
    )
    max_concurrent: int | None = Field(
        default=None, ge=1, description="`multiprocess`: assets at work at once; None: one for each core"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"timezone {self.timezone!r} is no IANA name, such as Europe/Berlin") from error
        if self.fresh_fail_hours <= self.fresh_warn_hours:
            raise ValueError("fresh_fail_hours must be more than fresh_warn_hours")
        return self


class ComputeSettings(Section):
    """Where crops, rule-based descriptions, vectors, pages, similar items and the two-tower model are computed; never
    what comes out."""

    engine: Literal["local", "ray"] = Field(
        default="local",
        description="this process, or the workers of a Ray cluster (pip install 'fashionrec_assets[ray]')",
    )
    address: str | None = Field(
        default=None,
        description="`ray`: the cluster to join, host:port, or auto for the one that RAY_ADDRESS or `ray start` names; "
        "None: one of this machine, for this run, which listens on the loopback interface only",
    )
    workers: int | None = Field(
        default=None, ge=1, description="`ray`: processes at work on a stage; None: as many as the cluster has room for"
    )
    cpus_per_worker: float = Field(default=1.0, gt=0, description="`ray`: cores a worker is given, a thread for each")
    gpus_per_worker: float | None = Field(
        default=None,
        ge=0,
        description="`ray`: GPUs of a worker that runs a neural network; None: one where the cluster has any",
    )
    in_flight: int | None = Field(
        default=None,
        ge=1,
        description="`ray`: batches read and not yet written, at the most, which bounds memory; None: four a worker",
    )
    object_store_mb: int | None = Field(
        default=None,
        ge=80,
        description="`ray`: shared memory of a cluster started here, for batches and for what the workers of a stage "
        "share; None: Ray's own share of it",
    )
    worker_memory_mb: int | None = Field(
        default=None, ge=1, description="`ray`: memory reckoned with when a worker is placed; None: none is"
    )
    retries: int = Field(
        default=3,
        ge=0,
        description="`ray`: further attempts at a batch, or at a training, whose worker died; then the stage fails",
    )


class LookbookSettings(Section):
    shoppers: int = Field(
        default=6, ge=1, le=100, description="shoppers whose pages are shown: busy ones, light ones, and a stranger"
    )
    users: tuple[str, ...] = Field(default=(), description="user ids shown in any case, before the others")
    looks: int = Field(default=10, ge=0, le=200, description="items whose complete looks are shown, at the most")
    items: int = Field(
        default=400, ge=0, description="items with a page of their own, at the most: those shown, then their neighbours"
    )
    neighbours: int = Field(default=6, ge=0, description="similar items shown of each list of an item's page")
    questions: int = Field(
        default=8, ge=0, description="items for each shopper of which is told why they are not on the page"
    )
    photo_side: int = Field(default=240, ge=32, description="pixels; photos are no larger than this")
    photo_quality: int = Field(default=80, ge=1, le=95, description="of the JPEG files")
    largest_page: int = Field(default=1_000_000, ge=1, description="bytes of a page beyond which a check fails")


class PromotionSettings(Section):
    auto: bool = Field(
        default=True, description="serve a new release by itself where it is not worse; else only `fashionrec promote`"
    )
    metric: Literal["ndcg", "recall"] = Field(default="ndcg", description="what decides, at the first 20 places")
    margin: float = Field(
        default=0.05,
        ge=0,
        description="share of the champion's mean by which the challenger may be worse, at the bottom of the interval",
    )
    bootstrap: int = Field(default=2_000, ge=10, description="resamples of users the interval rests on")
    keep: int = Field(
        default=5, ge=1, description="newest releases kept, beside the served one and the one served before it"
    )


class EvaluationSettings(Section):
    k: tuple[int, ...] = (10, 20)
    target_behaviours: tuple[Behaviour, ...] = ("pv", "fav", "cart", "buy")
    bootstrap: int = Field(default=1000, ge=10)
    recent_days: int = Field(default=3, ge=1, description="window of the recent-popularity baseline")
    ease_max_items: int = Field(
        default=20_000, ge=1, description="EASE inverts a dense matrix over warm items; skipped beyond"
    )
    max_users: int | None = Field(
        default=None, ge=1, description="evaluate a seeded sample of the users with a history; None: all"
    )
    max_cold_users: int | None = Field(
        default=2_000, ge=1, description="and of those without: most methods show them all one list; None: all"
    )
    knn_exponent: float = Field(
        default=0.2, ge=0, le=1, description="item-kNN: 0.5 is the cosine, less favours popular items"
    )
    knn_shrink: float = Field(
        default=10.0, ge=0, description="item-kNN: pulls similarities that rest on few people to zero"
    )
    knn_neighbours: int | None = Field(
        default=None, ge=1, description="item-kNN: neighbours kept per item; None keeps all"
    )
    ease_regularisation: float = Field(default=100.0, gt=0, description="EASE: lambda, in squared interactions")
    seeds: int = Field(
        default=3, ge=1, description="training runs of the headline model the report compares; 1: only the one in force"
    )
    ablations: Literal["off", "default", "full"] = Field(
        default="default",
        description="reduced models that differ from the two-tower model in one choice each; full: also in two "
        "choices, with three seeds of each",
    )
    ablation_users: int = Field(
        default=5_000, ge=1, description="sampled users whose events the ablation's models are trained on, at the most"
    )
    ablation_events: int = Field(
        default=20_000, ge=1, description="events of them at the most; people are sampled whole, up to this many events"
    )
    ablation_epochs: int = Field(
        default=3, ge=1, description="most epochs of an ablation's model; else as many as the full model took"
    )
    ncf_experiments: tuple[Literal[0, 1, 2, 3, 4, 5], ...] = Field(
        default=(0, 1, 2, 3, 4, 5),
        description="experiments of `ncf_ablations` to run; none: no reduced model is trained",
    )
    ncf_grid: Literal["default", "full"] = Field(
        default="default", description="few values of each axis of an experiment, or all of them"
    )
    ncf_seeds: int = Field(default=3, ge=1, description="training runs of each model of `ncf_ablations`")
    ncf_users: int = Field(
        default=1_000, ge=1, description="users with a history they are measured on, at the most, a seeded sample"
    )


class RetrievalSettings(Section):
    smallest_gain: float = Field(
        default=0.02, gt=0, lt=1, description="HITS@5: a technique that gives less does not pay, even if it gives some"
    )
    phrases: int = Field(default=300, ge=0, description="shopper phrases, made of catalog fields, asked of every arm")
    class_minimum: int = Field(
        default=5, ge=2, description="held-out items a value needs to be a class that is read off photos"
    )
    most_classes: int = Field(default=20, ge=2, description="classes of one field; the commonest values are taken")
    examples: int = Field(default=6, ge=0, le=40, description="worked examples shown as pictures")


class Settings(BaseSettings):
    """Everything a run depends on. Frozen; use `Settings.load` rather than the constructor outside tests."""

    model_config = SettingsConfigDict(
        env_prefix="FASHIONREC_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(
        default=DEFAULT_HOME, description="warehouse, artifacts, reports and the Dagster instance live here"
    )
    raw: Path = Field(default=DEFAULT_RAW, description="folder of the raw files")
    source: str = Field(default="taobao", description="name of the source class that reads `raw`")
    preset: Preset = "demo"
    seed: int = 17
    truth: Path | None = Field(default=None, description="folder of the sample shop's truth; only evaluation reads it")

    storage: StorageSettings = StorageSettings()
    catalog: CatalogSettings = CatalogSettings()
    splits: SplitSettings = SplitSettings()
    crops: CropSettings = CropSettings()
    descriptions: DescriptionSettings = DescriptionSettings()
    clip: ClipSettings = ClipSettings()
    text: TextSettings = TextSettings()
    tokens: TokenSettings = TokenSettings()
    synthesis: SynthesisSettings = SynthesisSettings()
    ncf: NcfSettings = NcfSettings()
    two_tower: TwoTowerSettings = TwoTowerSettings()
    index: IndexSettings = IndexSettings()
    ranking: RankingSettings = RankingSettings()
    recommendations: RecommendationSettings = RecommendationSettings()
    explanations: ExplanationSettings = ExplanationSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    outfits: OutfitSettings = OutfitSettings()
    styles: StyleSettings = StyleSettings()
    assistant: AssistantSettings = AssistantSettings()
    promotion: PromotionSettings = PromotionSettings()
    lookbook: LookbookSettings = LookbookSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    automation: AutomationSettings = AutomationSettings()
    compute: ComputeSettings = ComputeSettings()
    retrieval: RetrievalSettings = RetrievalSettings()

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """Settings by the order of precedence in this module's docstring; `given` are the flags a caller was passed.

        A flag that is None counts as not passed. Raises pydantic.ValidationError naming the setting that is wrong.
        """
        return cls(**{name: value for name, value in given.items() if value is not None})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _HomeFile(settings_cls), _PresetValues(settings_cls)

    def remember(self, **given: Any) -> None:
        """Merge the flags `given` to a run into `<home>/settings.json`, so that later commands see the same shop."""
        path = self.home / "settings.json"
        kept = _remembered(path)
        kept.update({name: str(value) for name, value in given.items() if value is not None})
        text = json.dumps(kept, indent=2, sort_keys=True) + "\n"
        if not path.exists() or path.read_text("utf-8") != text:
            self.home.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".tmp")
            draft.write_text(text, "utf-8")
            draft.replace(path)

    def value(self, path: str) -> Any:
        """The JSON value at a dotted path, such as `two_tower.epochs` or `clip`. Raises AttributeError if unknown.

        Of a section, the settings that say when or how fast rather than what (`SCHEDULING`) are left out: they must
        not make anything stale.
        """
        found: Any = self
        for part in path.split("."):
            found = getattr(found, part)
        value = TypeAdapter(Any).dump_python(found, mode="json")
        return (
            {name: one for name, one in value.items() if name not in SCHEDULING} if isinstance(value, dict) else value
        )


SCHEDULING = frozenset(
    {"retrain_share", "encode_batch", "ablations", "ncf_experiments", "ncf_grid", "ncf_seeds", "ncf_users"}
)
"""Settings that change when work is done, in what portions, or what is done beside it, but not what comes out."""

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {"evaluation": {"seeds": 1}},
    "quick": {
        "clip": {"epochs": 6, "least_presented": 5_000},
        "two_tower": {"epochs": 5},
        "evaluation": {
            "bootstrap": 500,
            "seeds": 1,
            "ncf_seeds": 1,
            "ncf_experiments": (3,),
            "ncf_users": 500,
            "ablation_events": 6_000,
            "ablation_epochs": 2,
        },
        "ncf": {"epochs": 2, "sweep_degrees": (0.5,), "sweep_events": 6_000, "sweep_epochs": 2},
        "ranking": {"windows": 1, "folds": 3},
        "recommendations": {"homepage_size": 12, "shelf_size": 6},
        "styles": {"report_users": 300},
        "feedback": {"rows": 800, "counterfactual_rows": 150},
    },
    "standard": {
        "crops": {"provider": "grounding_dino"},
        "clip": {"model": "hf-hub:Marqo/marqo-fashionSigLIP"},
        "text": {"model": "sentence-transformers/all-mpnet-base-v2"},
        "two_tower": {"dim": 128, "layers": 2, "heads": 4, "negatives": 4096, "epochs": 40},
    },
}
"""What a preset changes. `demo` needs no download, no GPU and no key; `quick` is `demo` with shorter trainings and
smaller studies, for a first look at a small shop; `standard` wants pretrained weights."""


def _remembered(path: Path) -> dict[str, Any]:
    """What `settings.json` holds; nothing if it is absent. Raises ValueError, with the remedy, if it is no object."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({type(error).__name__}): correct it, or delete it") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object of settings: correct it, or delete it")
    return found


class _HomeFile(PydanticBaseSettingsSource):
    """`<home>/settings.json`, where home is what the stronger sources say."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("this source yields whole mappings")

    def __call__(self) -> dict[str, Any]:
        return _remembered(Path(self.current_state.get("home", DEFAULT_HOME)) / "settings.json")


class _PresetValues(PydanticBaseSettingsSource):
    """The chosen preset's values."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("this source yields whole mappings")

    def __call__(self) -> dict[str, Any]:
        return PRESETS.get(str(self.current_state.get("preset", "demo")), {})


def digest(value: Any) -> str:
    """Stable sha256 hex of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
