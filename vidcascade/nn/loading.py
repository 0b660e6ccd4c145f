"""Networks from folders, with errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from vidcascade.errors import UsageError, VidCascadeError

__all__ = ["load_model"]

Model = TypeVar("Model", bound=torch.nn.Module)


def load_model(kind: type[Model], folder: Path) -> Model:
    """The network that ``save_pretrained`` wrote, in float32 and evaluation mode.

    Args:
        kind: its class, a ``diffusers.ModelMixin``.
        folder: with ``config.json`` and safetensors.

    Raises:
        UsageError: there is no such folder.
        VidCascadeError: files that are missing, truncated, tampered with or of another network.
    """
    if not folder.is_dir():  # diffusers would take its name for a repository's
        raise UsageError(f"There is no folder {folder}: name one that holds a network's weights.")
    made: Any = kind
    try:
        network: Model = made.from_pretrained(
            folder,
            use_safetensors=True,
            dtype=torch.float32,
            low_cpu_mem_usage=False,
            local_files_only=True,
        )
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise VidCascadeError(
            f"The weights in {folder} are incomplete or damaged ({reason[:160]}): get them again."
        ) from error
    return network.eval()
