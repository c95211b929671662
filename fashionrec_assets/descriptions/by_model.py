"""Descriptions by a language model, from the plan of a run to its figures.

Belongs here: choosing between single calls and batches, and putting the parts together. Does not belong here: any of
the parts (`desk.py`, `live.py`, `batch.py`, `conversation.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from fashionrec_assets.descriptions.batch import BatchOffice
from fashionrec_assets.descriptions.claims import Description, ItemText
from fashionrec_assets.descriptions.conversation import VERSION, Case, Loop
from fashionrec_assets.descriptions.desk import Desk
from fashionrec_assets.descriptions.deterministic import DeterministicProvider
from fashionrec_assets.descriptions.live import Interviewer
from fashionrec_assets.descriptions.prompts import Prompts
from fashionrec_assets.resources.llm import CallSettings, ChatModel, endpoint_host
from fashionrec_assets.resources.shop import StageRun
from fashionrec_assets.resources.spending import Meter, Prices
from fashionrec_assets.settings import DescriptionSettings, digest
from fashionrec_assets.storage.ledger import batches

_log = logging.getLogger(__name__)

PORTION = 1_000
"""Items whose texts and photos are in memory at the same time."""


class LanguageModelProvider:
    """The agent loop over one model. Its `version` covers the prompts, the model and every setting that changes a text.

    Raises NoEndpointError if the environment names no endpoint, FileNotFoundError if there are no such prompts.
    """

    name = "openai"

    def __init__(self, settings: DescriptionSettings) -> None:
        self._settings = settings
        self.prompts = Prompts(settings.prompts)
        self.meter = Meter(Prices(settings.price_in, settings.price_out), settings.budget, settings.token_cap)
        self.model = ChatModel(CallSettings.of(settings, image_tokens=settings.image_tokens), self.meter)
        self.loop = Loop(self.prompts, max_chars=settings.max_chars, max_rounds=settings.max_rounds)

    @property
    def version(self) -> str:
        settings = self._settings
        parts = [
            VERSION,
            DeterministicProvider.version,
            self.prompts.fingerprint,
            settings.model,
            settings.max_rounds,
            settings.send_photo,
            settings.max_output_tokens,
            settings.temperature,
        ]
        return digest(parts)[:16]

    @property
    def reads_photo(self) -> bool:
        return self._settings.send_photo is not False

    def describe_batch(self, items: Sequence[ItemText]) -> list[Description]:
        """One description for each item from single calls, the fallback where there is no answer; keeps no record."""
        baselines = DeterministicProvider(self._settings).describe_batch(items)
        cases = [Case(item, baseline) for item, baseline in zip(items, baselines, strict=True)]
        made = {one.item_id: one.description for group in self.interviewer().outcomes([cases]) for one in group}
        return [made[item.item_id] for item in items]

    def describe_all(self, desk: Desk, run: StageRun) -> None:
        """Collect, submit and ask for everything on the desk, within the caps; every item has a text afterwards."""
        settings = self._settings
        office = BatchOffice(
            desk,
            self.model,
            self.loop,
            folder=run.shop.spill,
            share=settings.batch_price_share,
            most_items=settings.batch_max_items,
            photos=self.reads_photo,
            photo_optional=settings.send_photo == "auto",
        )
        held = office.collect()
        todo = [key for key in desk.todo() if key not in held]
        if settings.batch_api == "always" or (settings.batch_api == "auto" and len(todo) >= settings.batch_min_items):
            dealt = office.submit(todo) if todo else set()
            todo = [key for key in todo if key not in dealt]
        for group in self.interviewer().outcomes(self._portions(desk, todo)) if todo else ():
            desk.write(group)
        if self.model.closed is not None:
            _log.warning(
                "no further calls to the language model in this run: %s; the next run goes on", self.model.closed.value
            )

    def _portions(self, desk: Desk, todo: Sequence[str]) -> Iterator[list[Case]]:
        for keys in batches(todo, PORTION):
            # Once no more calls are made, an item that has its fallback already needs nothing.
            closed = self.model.closed is not None
            wanted = desk.without_text(keys) if closed else keys
            if wanted:
                yield desk.cases(wanted, photos=self.reads_photo and not closed)

    def interviewer(self) -> Interviewer:
        return Interviewer(
            self.model,
            self.loop,
            concurrency=self._settings.concurrency,
            timeout_s=self._settings.timeout_s,
            photo_optional=self._settings.send_photo == "auto",
        )

    def figures(self) -> dict[str, Any]:
        """What this run's calls took, for people; the cost only where prices are known."""
        meter = self.meter
        priced = meter.prices.known
        return {
            "model": f"{self._settings.model} at {endpoint_host()}",
            "prompts": f"{self._settings.prompts} ({self.prompts.fingerprint})",
            "calls": meter.calls,
            "retries": meter.retries,
            "calls_without_a_known_use": meter.lost_calls or None,
            "tokens_in": meter.used.tokens_in,
            "tokens_out": meter.used.tokens_out,
            "cost": round(meter.cost, 6) if priced else None,
            "cost_at_most": round(meter.most_cost, 6) if priced else None,
            "budget": meter.budget,
            "batch_tokens_in": meter.batch_used.tokens_in or None,
            "batch_tokens_out": meter.batch_used.tokens_out or None,
            "batch_cost": round(meter.batch_cost, 6) if priced and meter.batch_used.tokens else None,
            "set_aside_for_batches": round(meter.aside_cost, 6) if priced and meter.aside_cost else None,
            "calls_ended_early": None if self.model.closed is None else self.model.closed.value,
        }
