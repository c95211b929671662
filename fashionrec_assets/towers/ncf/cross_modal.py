"""Text tokens and image patches of an item become its content vectors: early, intermediate or late.

Belongs here: the ways to fuse, behind one interface, and the loss that aligns the modalities. Does not belong here:
where token states come from, IDs, users. Imports torch at the top: import this module inside functions.

A missing modality is a row whose mask is all false: it is left out of attention and of averages, and a learned vector
stands in where a single vector is made of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fashionrec_assets.embeddings.clip_losses import contrastive_loss

TEMPERATURE = 0.07
"""Of the alignment loss, as in CLIP (Radford et al. 2021)."""


@dataclass(frozen=True)
class TokenTensors:
    """`text` (n, t, w) with `text_mask` bool (n, t), and `image` (n, p, w) with `image_mask` bool (n, p)."""

    text: Tensor
    text_mask: Tensor
    image: Tensor
    image_mask: Tensor

    def take(self, rows: Tensor) -> TokenTensors:
        """The items of `rows` (b,), in single precision."""
        rows = rows.to(self.text.device)
        return TokenTensors(
            self.text[rows].float(), self.text_mask[rows], self.image[rows].float(), self.image_mask[rows]
        )

    def to(self, device: torch.device) -> TokenTensors:
        return TokenTensors(*(part.to(device) for part in (self.text, self.text_mask, self.image, self.image_mask)))

    def hide(self, text: Tensor, image: Tensor) -> TokenTensors:
        """Modality dropout: the text is missing where `text` (n,) says so, and the photo where `image` (n,) does."""
        return TokenTensors(self.text, self.text_mask & ~text[:, None], self.image, self.image_mask & ~image[:, None])


@dataclass(frozen=True)
class Fused:
    """`views` (n, v, d): what is matched with the user, one vector, or one of each modality; `present` bool (n, v).

    `text` and `image` (n, w): the pooled modalities before they met, for `alignment_loss`.
    """

    views: Tensor
    present: Tensor
    text: Tensor
    image: Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """(n, w): the mean of `values` (n, t, w) where `mask` (n, t); zeros where nothing is."""
    weights = mask.to(values.dtype)
    return (weights.unsqueeze(1) @ values).squeeze(1) / weights.sum(dim=1, keepdim=True).clamp(min=1)


def attended(attention: nn.MultiheadAttention, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """Attention of `queries` (n, t, w) to the `keys` (n, s, w) that `mask` (n, s) allows; zeros if it allows none."""
    somebody = mask.any(dim=1)
    # A softmax over nothing is not a number: rows without a key look at their first one, and are emptied afterwards.
    safe = mask.clone()
    safe[:, 0] |= ~somebody
    found, _ = attention(queries, keys, keys, key_padding_mask=~safe, need_weights=False)
    return found * somebody[:, None, None].to(found.dtype)


def feed_forward(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
    )


class SelfBlock(nn.Module):
    """One pre-norm transformer block over a sequence (Vaswani et al. 2017; Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.feed = feed_forward(width, dropout)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        normal = self.norm(tokens)
        tokens = tokens + attended(self.attention, normal, normal, mask)
        return tokens + self.feed(tokens)


class CrossModalBlock(nn.Module):
    """Text attends to the photo and the photo to the text, in both directions at once (ViLBERT, Lu et al. 2019).

    What a token takes over is gated, by itself and by what it found (GMU, Arevalo et al. 2017), and added to it: a
    modality that tells nothing, or is missing, leaves the other as it was.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.attentions = nn.ModuleList(
            [nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True) for _ in range(2)]
        )
        self.gates = nn.ModuleList([nn.Linear(2 * width, width) for _ in range(2)])
        self.feeds = nn.ModuleList([feed_forward(width, dropout) for _ in range(2)])

    def forward(self, text: Tensor, text_mask: Tensor, image: Tensor, image_mask: Tensor) -> tuple[Tensor, Tensor]:
        normal_text, normal_image = self.norms[0](text), self.norms[1](image)
        to_text = attended(self._attention(0), normal_text, normal_image, image_mask)
        to_image = attended(self._attention(1), normal_image, normal_text, text_mask)
        text = text + self._gate(0, normal_text, to_text) * to_text
        image = image + self._gate(1, normal_image, to_image) * to_image
        return text + self.feeds[0](text), image + self.feeds[1](image)

    def _attention(self, side: int) -> nn.MultiheadAttention:
        found = self.attentions[side]
        assert isinstance(found, nn.MultiheadAttention)
        return found

    def _gate(self, side: int, own: Tensor, other: Tensor) -> Tensor:
        return torch.sigmoid(self.gates[side](torch.cat([own, other], dim=-1)))


class ContentEncoder(nn.Module):
    """What the ways have in common: `width` of tokens in, `dim` of views out, and `views` of them by name.

    `patches`: image tokens of an item at the most; they carry no position of their own, as those of a text do.
    """

    views: tuple[str, ...] = ("content",)

    def __init__(self, width: int, dim: int, patches: int) -> None:
        super().__init__()
        self.read_text, self.read_image = nn.Linear(width, width), nn.Linear(width, width)
        for layer in (self.read_text, self.read_image):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.place = nn.Parameter(torch.zeros(patches, width))
        self.no_text, self.no_image = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.dim = dim

    def forward(self, states: TokenTensors) -> Fused:
        text = self.read_text(states.text)
        image = self.read_image(states.image) + self.place[: states.image.shape[1]]
        views, present = self.fuse(text, states.text_mask, image, states.image_mask)
        return Fused(views, present, masked_mean(text, states.text_mask), masked_mean(image, states.image_mask))

    def fuse(self, text: Tensor, text_mask: Tensor, image: Tensor, image_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Views (n, v, dim) and which of them are present (n, v)."""
        raise NotImplementedError

    def pooled(self, tokens: Tensor, mask: Tensor, missing: Tensor) -> Tensor:
        """The mean token (n, w), `missing` where there is none."""
        return torch.where(mask.any(dim=1, keepdim=True), masked_mean(tokens, mask), missing)


class Early(ContentEncoder):
    """Concatenated, then encoded: one transformer over text tokens and patches as a single sequence."""

    def __init__(self, width: int, dim: int, patches: int, *, layers: int, heads: int, dropout: float) -> None:
        super().__init__(width, dim, patches)
        self.kind = nn.Parameter(torch.zeros(2, width))
        self.blocks = nn.ModuleList([SelfBlock(width, heads, dropout) for _ in range(layers)])
        self.out = output(2 * width, dim)

    def fuse(self, text: Tensor, text_mask: Tensor, image: Tensor, image_mask: Tensor) -> tuple[Tensor, Tensor]:
        tokens = torch.cat([text + self.kind[0], image + self.kind[1]], dim=1)
        mask = torch.cat([text_mask, image_mask], dim=1)
        for block in self.blocks:
            tokens = block(tokens, mask)
        length = text.shape[1]
        both = torch.cat(
            [
                self.pooled(tokens[:, :length], text_mask, self.no_text),
                self.pooled(tokens[:, length:], image_mask, self.no_image),
            ],
            dim=1,
        )
        return self.out(both).unsqueeze(1), mask.any(dim=1, keepdim=True)


class Intermediate(ContentEncoder):
    """The cross-modal communication block, stacked; the two pooled modalities then make one vector."""

    def __init__(self, width: int, dim: int, patches: int, *, layers: int, heads: int, dropout: float) -> None:
        super().__init__(width, dim, patches)
        self.blocks = nn.ModuleList([CrossModalBlock(width, heads, dropout) for _ in range(layers)])
        self.out = output(2 * width, dim)

    def fuse(self, text: Tensor, text_mask: Tensor, image: Tensor, image_mask: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            text, image = block(text, text_mask, image, image_mask)
        pooled = [self.pooled(text, text_mask, self.no_text), self.pooled(image, image_mask, self.no_image)]
        present = text_mask.any(dim=1) | image_mask.any(dim=1)
        return self.out(torch.cat(pooled, dim=1)).unsqueeze(1), present.unsqueeze(1)


class Late(ContentEncoder):
    """Each modality by itself; what they make of a user and an item is scored apart and the scores combined.

    With a single name in `views` it is the encoder of that modality alone.
    """

    def __init__(
        self,
        width: int,
        dim: int,
        patches: int,
        *,
        layers: int,
        heads: int,
        dropout: float,
        views: tuple[str, ...] = ("text", "image"),
    ) -> None:
        super().__init__(width, dim, patches)
        self.views = views
        self.blocks = nn.ModuleDict(
            {name: nn.ModuleList([SelfBlock(width, heads, dropout) for _ in range(layers)]) for name in views}
        )
        self.outs = nn.ModuleDict({name: output(width, dim) for name in views})

    def fuse(self, text: Tensor, text_mask: Tensor, image: Tensor, image_mask: Tensor) -> tuple[Tensor, Tensor]:
        views, present = [], []
        for name in self.views:
            tokens, mask, missing = (
                (text, text_mask, self.no_text) if name == "text" else (image, image_mask, self.no_image)
            )
            blocks = self.blocks[name]
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                tokens = block(tokens, mask)
            views.append(self.outs[name](self.pooled(tokens, mask, missing)))
            present.append(mask.any(dim=1))
        return torch.stack(views, dim=1), torch.stack(present, dim=1)


def output(width: int, dim: int) -> nn.Linear:
    """A linear map that at first only turns: items of similar content begin with similar vectors."""
    layer = nn.Linear(width, dim)
    nn.init.orthogonal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def content_encoder(
    fusion: str,
    modalities: tuple[str, ...],
    *,
    width: int,
    dim: int,
    patches: int,
    layers: int,
    heads: int,
    dropout: float,
) -> ContentEncoder | None:
    """The encoder for `modalities` (some of text, image, id); None where there is neither text nor image.

    `fusion`: early, intermediate or late; a single modality has nothing to be fused with. Raises ValueError for
    another fusion.
    """
    read = tuple(name for name in ("text", "image") if name in modalities)
    if not read:
        return None
    knobs = {"layers": layers, "heads": heads, "dropout": dropout}
    if len(read) == 1 or fusion == "late":
        return Late(width, dim, patches, **knobs, views=read)
    if fusion not in ("early", "intermediate"):
        raise ValueError(f"fusion must be early, intermediate or late, got {fusion!r}")
    return (Early if fusion == "early" else Intermediate)(width, dim, patches, **knobs)


def alignment_loss(text: Tensor, image: Tensor, both: Tensor) -> Tensor:
    """Symmetric InfoNCE between the pooled modalities (n, w) of the items that have `both` (n,), "align before fuse"
    (Li et al. 2021, section 3.2): the text of an item should find its own photo among those of the batch."""
    rows = both.nonzero().squeeze(1)
    if len(rows) < 2:
        return text.sum() * 0
    scale = text.new_tensor(1 / TEMPERATURE)
    return contrastive_loss(F.normalize(image[rows], dim=-1), F.normalize(text[rows], dim=-1), scale, rows)
