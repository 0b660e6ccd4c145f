"""A small network that tells what a prompt asks for, from the states of its words.

For each slot (subject, motion, …) queries attend to the words, and what they find is sorted into
one of the slot's labels. The words' states are the text encoder's, which is not trained: that it
puts words of one meaning near each other is why wordings that were never shown are understood.
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

_NOISE, _DROPOUT = 0.1, 0.3


class PromptReader(ModelMixin, ConfigMixin):
    """One distribution over labels for each slot.

    Args:
        slots: labels by slot; slots are ordered by name.
        width: of the text encoder's states.
        heads: queries of each slot.
        head_dim: of queries, and of what each brings.
        encoder: the name of the text encoder, to tell another one by.
    """

    @register_to_config
    def __init__(
        self,
        slots: dict[str, list[str]],
        width: int = 384,
        heads: int = 6,
        head_dim: int = 64,
        encoder: str = "minilm",
    ) -> None:
        super().__init__()
        # By name: a config that is read from its file has lost any other order.
        self.slots = {name: list(slots[name]) for name in sorted(slots)}
        inner = heads * head_dim
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(len(slots), heads, head_dim) / 2)
        self.to_keys = nn.Linear(width, inner)
        self.to_values = nn.Linear(width, inner)
        self.drop = nn.Dropout(_DROPOUT)
        self.classifiers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, len(labels)))
            for labels in self.slots.values()
        )

    def forward(self, states: Tensor, mask: Tensor) -> list[Tensor]:
        """States (B, L, width), mask (B, L), true for words → (B, labels) logits of each slot."""
        x = self.norm(states)
        if self.training:
            # So that neighbours of the wordings that are shown mean the same.
            x = self.drop(x) + _NOISE * torch.randn_like(x)
        heads, size = self.queries.shape[1:]
        keys = self.to_keys(x).unflatten(-1, (heads, size))
        values = self.to_values(x).unflatten(-1, (heads, size))
        scores = torch.einsum("shd,blhd->bshl", self.queries, keys) / size**0.5
        scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
        found = torch.einsum("bshl,blhd->bshd", scores.softmax(-1), values).flatten(2)
        return [head(self.drop(found[:, k])) for k, head in enumerate(self.classifiers)]
