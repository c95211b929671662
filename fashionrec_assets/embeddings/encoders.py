"""The encoders in force in a shop, loaded when first used: a run with nothing to encode loads none.

Belongs here: which model the settings and artifacts name. Does not belong here: the encoders themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from fashionrec_assets.resources.models import ModelUnavailableError, best_device, folder_digest
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.files import file_digest

if TYPE_CHECKING:
    from fashionrec_assets.embeddings.clip import ClipEncoder
    from fashionrec_assets.embeddings.decoding import Picture
    from fashionrec_assets.embeddings.sentences import SentenceEncoder
    from fashionrec_assets.embeddings.token_encoders import PatchEncoder, TextTokenEncoder
    from fashionrec_assets.embeddings.token_store import TokenStates

REFERENCE = "reference.json"
"""In the artifact of a model that is used as it is: its name instead of its weights."""

_SENTENCES: WeakKeyDictionary[Shop, SentenceEncoder] = WeakKeyDictionary()


class Encoders:
    """The sentence encoder and the CLIP model of one shop."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    @cached_property
    def text_id(self) -> str:
        """The sentence encoder's id; the packaged one's is known without loading it."""
        from fashionrec_assets.embeddings.sentences import packaged_model_id

        settings = self._shop.settings.text
        return packaged_model_id(settings.precision) if settings.model is None else self.sentences.model_id

    @property
    def original_id(self) -> str:
        """What tells one `clip.model` from another, without loading it: a folder's or file's content, else the name."""
        settings = self._shop.settings.clip
        model, weights = settings.model or "", settings.pretrained or ""
        told = folder_digest(Path(model)) if model and Path(model).is_dir() else model
        return f"{told}:{file_digest(Path(weights))}" if weights and Path(weights).is_file() else told

    @property
    def sentences(self) -> SentenceEncoder:
        """The sentence encoder: one for all stages of a shop, so that a text is encoded once in a run."""
        from fashionrec_assets.embeddings.sentences import SentenceEncoder

        if self._shop not in _SENTENCES:
            settings, tokens = self._shop.settings.text, self._shop.settings.tokens
            _SENTENCES[self._shop] = SentenceEncoder(
                settings.model,
                batch_size=settings.encode_batch,
                device=best_device(),
                precision=settings.precision,
                tokens=tokens.text_tokens if tokens.text_model is None else None,
            )
        return _SENTENCES[self._shop]

    @cached_property
    def text_tokens_id(self) -> str:
        """The id of what gives states of a text's tokens; only one from the hub is loaded for it."""
        from fashionrec_assets.embeddings.token_encoders import folder_id

        model = self._shop.settings.tokens.text_model
        return self.text_id if model is None else folder_id(model) or self.text_tokens.model_id

    @cached_property
    def text_tokens(self) -> TextTokenEncoder:
        """What gives states of a text's tokens: `tokens.text_model`, else the sentence encoder's transformer."""
        from fashionrec_assets.embeddings.token_encoders import TextTokenEncoder

        settings = self._shop.settings.tokens
        return TextTokenEncoder(
            self.sentences if settings.text_model is None else settings.text_model,
            most=settings.text_tokens,
            batch_size=settings.encode_batch,
        )

    @cached_property
    def patches_id(self) -> str:
        """The id of what gives states of a crop's patches; only one from the hub is loaded for it."""
        from fashionrec_assets.embeddings.token_encoders import folder_id

        model = self._shop.settings.tokens.image_model
        return self._shop.model_id("clip_model") if model is None else folder_id(model) or self._vit.model_id

    def encode_patches(self, images: Sequence[Picture]) -> TokenStates:
        """States of the patches of crops, images or stored JPEG bytes: of `tokens.image_model`, else of the image tower
        of the CLIP model in force.
        """
        settings = self._shop.settings.tokens
        if settings.image_model is None:
            return self.clip.encode_patches(images, settings.image_side)
        return self._vit.encode(images)

    @cached_property
    def _vit(self) -> PatchEncoder:
        from fashionrec_assets.embeddings.token_encoders import PatchEncoder

        settings = self._shop.settings.tokens
        assert settings.image_model is not None
        return PatchEncoder(settings.image_model, side=settings.image_side, batch_size=settings.encode_batch)

    @cached_property
    def clip(self) -> ClipEncoder:
        """The CLIP model in force, for images; a compact one cannot read texts (`clip_with_text` can)."""
        return self._in_force(with_text=False)

    @cached_property
    def clip_with_text(self) -> ClipEncoder:
        """The CLIP model in force, with the sentence encoder that a compact one reads through."""
        return self._in_force(with_text=True)

    @cached_property
    def original(self) -> ClipEncoder:
        """`clip.model` with its own weights, whatever was trained from them."""
        settings = self._shop.settings.clip
        assert settings.model is not None
        return self._clip(settings.model, settings.pretrained, with_text=True)

    def load(self, folder: Path) -> ClipEncoder:
        """A model that was trained here, for images and texts."""
        return self._clip(folder, None, with_text=True)

    def _in_force(self, *, with_text: bool) -> ClipEncoder:
        folder = self._shop.current("clip_model")
        reference = folder / REFERENCE
        if reference.exists():
            named = json.loads(reference.read_text("utf-8"))
            found = self._clip(named["model"], named["pretrained"], with_text=with_text)
            if found.model_id != named["model_id"]:
                raise ModelUnavailableError(
                    f"{named['model']} has other weights than those the vectors were made with ({found.model_id}, not "
                    f"{named['model_id']}): run `fashionrec run --full`, or put the old weights back"
                )
            return found
        return self._clip(folder, None, with_text=with_text)

    def _clip(self, model: str | Path, pretrained: str | None, *, with_text: bool) -> ClipEncoder:
        from fashionrec_assets.embeddings.clip import OPEN_CLIP_CONFIG, ClipEncoder

        settings = self._shop.settings.clip
        compact = Path(model).is_dir() and not (Path(model) / OPEN_CLIP_CONFIG).is_file()
        reads_sentences = with_text and compact
        return ClipEncoder(
            model,
            pretrained=pretrained,
            sentences=self.sentences if reads_sentences else None,
            batch_size=settings.encode_batch,
            precision=settings.precision,
        )
