"""Multi-head attention through diffusers' dispatch, in chunks that any kernel accepts."""

from __future__ import annotations

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from torch import Tensor, nn

from vidcascade.errors import UsageError

# Temporal attention folds H·W into the batch, and CUDA kernels launch at most 65,535 blocks along
# that axis; chunking keeps any backend usable at any size.
MAX_BATCH = 32_768


def check_backend(name: str, device: torch.device | str) -> None:
    """Make sure that an attention backend exists, is installed and runs on ``device``.

    Raises:
        UsageError: it does not, with what would.
    """
    known = sorted(b.value for b in AttentionBackendName if not b.value.startswith("_"))
    if name not in {b.value for b in AttentionBackendName}:
        raise UsageError(f"There is no attention backend {name!r}: choose from {', '.join(known)}.")
    package = {"xformers": "xformers", "sage": "sageattention", "flash": "flash_attn"}.get(
        name.split("_")[0]
    )
    if package is not None and not name.endswith("_hub") and find_spec(package) is None:
        extra = "pip install 'vidcascade[xformers]'" if name == "xformers" else f"install {package}"
        raise UsageError(
            f"The attention backend {name!r} is not installed: {extra}, or use native."
        )
    portable = name in ("native", "_native_math", "flex")
    if not portable and torch.device(device).type == "cpu":
        raise UsageError(f"The attention backend {name!r} needs a GPU: use native on the CPU.")


class DispatchProcessor:
    """Carries the backend that ``ModelMixin.set_attention_backend`` chooses."""

    def __init__(self) -> None:
        self._attention_backend = None
        self._parallel_config = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attend: query (N, L, H, D), key and value (N, S, H, D), mask (N, S) bool or None."""
        outs = []
        for start in range(0, query.shape[0], MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            outs.append(
                dispatch_attention_fn(
                    query[part],
                    key[part],
                    value[part],
                    attn_mask=None if mask is None else mask[part, None, None, :],
                    backend=self._attention_backend,
                )
            )
        return outs[0] if len(outs) == 1 else torch.cat(outs)


class Attention(nn.Module, AttentionModuleMixin):
    """Self- or cross-attention with RMS-normalised queries and keys (Dehghani et al. 2023).

    Args:
        width: channels C of the tokens.
        context_width: channels of the context for cross-attention, or None for self-attention.
        head_dim: channels of each head; must divide ``width``.
        rotary: rotate queries and keys by their positions (Su et al. 2021).
        zero_init: start as the identity of the residual branch (output weights at zero).
    """

    def __init__(
        self,
        width: int,
        context_width: int | None = None,
        head_dim: int = 64,
        rotary: bool = False,
        zero_init: bool = True,
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.rotary = rotary
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(context_width or width, 2 * width, bias=False)
        self.norm_q = nn.Parameter(torch.ones(head_dim))
        self.norm_k = nn.Parameter(torch.ones(head_dim))
        self.to_out = nn.Linear(width, width, bias=False)
        if zero_init:
            nn.init.zeros_(self.to_out.weight)
        self.processor = DispatchProcessor()

    def forward(
        self,
        tokens: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Tokens (N, L, C), context (N, S, D), mask (N, S) bool, positions (N, L) or (N, L, axes) →
        (N, L, C).
        """
        context = tokens if context is None else context
        query = self.to_q(tokens).unflatten(-1, (-1, self.head_dim))
        key, value = self.to_kv(context).unflatten(-1, (2, -1, self.head_dim)).unbind(-3)
        query, key = rms_norm(query, self.norm_q), rms_norm(key, self.norm_k)
        if self.rotary and positions is not None:
            query, key = rotate(query, positions), rotate(key, positions)
        out = self.processor(query.to(value.dtype), key.to(value.dtype), value, mask)
        return self.to_out(out.flatten(-2))


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """RMS norm over the last axis (Zhang & Sennrich 2019), in the dtype of x.

    A weight of another dtype would keep torch from its fused kernel.
    """
    return F.rms_norm(x, x.shape[-1:], weight.to(x.dtype), 1e-6)


def rotate(heads: Tensor, positions: Tensor, max_period: float = 64.0) -> Tensor:
    """Rotary embedding: heads (N, L, H, D) turned by positions.

    ``positions`` are (N, L), or (N, L, A) for tokens on A axes, where the first axis has half of
    the features and the others share the rest (as in Wan 2025 and other video transformers); D
    must be a multiple of 2, and of 8 for three axes.
    """
    if positions.ndim == 2:
        positions = positions[..., None]
    axes, half = positions.shape[-1], heads.shape[-1] // 2
    parts = [half] if axes == 1 else [half // 2] + [half // 2 // (axes - 1)] * (axes - 1)
    angles = []
    for axis, part in enumerate(parts):
        exponents = torch.arange(part, device=heads.device, dtype=torch.float32) / part
        angles.append(positions[..., axis, None].float() * max_period**-exponents)
    turn = torch.cat(angles, dim=-1)
    cos, sin = turn.cos()[:, :, None], turn.sin()[:, :, None]
    first, second = heads.float().chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
    return turned.to(heads.dtype)
