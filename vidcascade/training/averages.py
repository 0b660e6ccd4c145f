"""What a run's moving average says of a low-rank change."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from vidcascade.nn.low_rank import low_rank_state


def averaged_changes(
    network: nn.Module, ema: EMAModel, trained: Sequence[nn.Parameter]
) -> dict[str, Tensor]:
    """The changes of ``network``, as :func:`low_rank_state` gives them, averaged over the run.

    Args:
        network: that learns low-rank changes; it is left as it was.
        ema: the average of ``trained``.
        trained: the run's parameters, the network's changes among them.
    """
    ema.store(trained)
    try:
        ema.copy_to(trained)
        return {name: tensor.clone() for name, tensor in low_rank_state(network).items()}
    finally:
        ema.restore(trained)
