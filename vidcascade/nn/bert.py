"""BERT's layer (Devlin et al. 2019, arXiv:1810.04805), enough to run a small frozen encoder."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class BertLayer(nn.Module):
    """One post-norm transformer layer of BERT on (B, L, D)."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm_attention = nn.LayerNorm(width, eps)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.norm_mlp = nn.LayerNorm(width, eps)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        x = self.norm_attention(x + self.out(mixed.transpose(1, 2).flatten(2)))
        return self.norm_mlp(x + self.contract(F.gelu(self.expand(x))))


def rename_bert(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Map a BERT checkpoint's names to ours; the pooler is not used here."""
    names = {
        "embeddings.word_embeddings": "words",
        "embeddings.position_embeddings": "positions",
        "embeddings.token_type_embeddings": "kinds",
        "embeddings.LayerNorm": "norm",
    }
    parts = {
        "attention.self.query": "query",
        "attention.self.key": "key",
        "attention.self.value": "value",
        "attention.output.dense": "out",
        "attention.output.LayerNorm": "norm_attention",
        "intermediate.dense": "expand",
        "output.dense": "contract",
        "output.LayerNorm": "norm_mlp",
    }
    for index in range(6):
        for theirs, ours in parts.items():
            names[f"encoder.layer.{index}.{theirs}"] = f"layers.{index}.{ours}"
    return {
        f"{names[stem]}.{leaf}": tensor
        for (stem, _, leaf), tensor in ((name.rpartition("."), t) for name, t in weights.items())
        if stem in names
    }
