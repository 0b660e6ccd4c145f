"""A trained network's weights in a larger one that at first does the same.

As in Net2Net (Chen et al. 2016), but what is new is silent instead of split: coarser levels after
the last one, and text where there was none. Nothing is lost, and training goes on from there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vidcascade.nn.denoiser import SpaceTimeDenoiser

_PER_LEVEL = ("channels", "depths", "spatial_attention", "temporal")


def can_grow(small: SpaceTimeDenoiser, large: SpaceTimeDenoiser) -> bool:
    """Whether ``large`` has all that ``small`` has, and more."""
    few, many = _about(small), _about(large)
    levels = len(few["channels"])
    if few == many or any(list(many[key])[:levels] != list(few[key]) for key in _PER_LEVEL):
        return False
    if many["channels"][-1] < few["channels"][-1]:
        return False  # the embedding is as wide as the last level says
    if few["text_width"] is None:
        # Levels that attend would get an attention to text, which the others came without.
        if many["text_width"] is not None and any(few["spatial_attention"]):
            return False
        few["text_width"], few["text_attention"] = many["text_width"], many["text_attention"]
    elif many["channels"][-1] != few["channels"][-1]:
        return False  # groups of the text's features would be other ones
    rest = few.keys() - _PER_LEVEL
    return all(few[key] == many[key] for key in rest)


def grow(small: SpaceTimeDenoiser, large: SpaceTimeDenoiser) -> None:
    """Put the weights of ``small`` into the freshly made ``large``, so that both predict the same.

    Raises:
        ValueError: a network that is not part of the other.
    """
    if not can_grow(small, large):
        raise ValueError("the smaller network is not part of the larger one")
    few, many = len(small.config.channels), len(large.config.channels)
    own = large.state_dict()
    for name, tensor in small.state_dict().items():
        _place(own[_renamed(name, few, many)], tensor)
    if small.text_pool is None and large.text_pool is not None:
        nn.init.zeros_(large.text_pool.weight)
        nn.init.zeros_(large.text_pool.bias)
    for skip in list(large.skips)[: many - few]:
        _pass_on(skip)


def _about(network: SpaceTimeDenoiser) -> dict[str, Any]:
    plain = {k: v for k, v in network.config.items() if not k.startswith("_")}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}


def _renamed(name: str, few: int, many: int) -> str:
    """The same part's name in a network of more levels, in which the trunk lies deeper."""
    head, _, rest = name.partition(".")
    more = many - few
    if head == "trunk" and more:
        return f"down_blocks.{few - 1}.{rest}"
    if head in ("ups", "skips", "up_blocks", "places"):
        # The way up is counted from below; coordinates are counted along the whole way.
        number, _, rest = rest.partition(".")
        shift = more if head != "places" else 2 * more * (int(number) >= few)
        return f"{head}.{int(number) + shift}.{rest}"
    return name


@torch.no_grad()
def _place(new: Tensor, old: Tensor) -> None:
    """Old features are what they were, and see nothing of new ones, which keep what they are."""
    new[: len(old)] = 0.0
    new[tuple(slice(0, n) for n in old.shape)] = old


@torch.no_grad()
def _pass_on(skip: nn.Module) -> None:
    """Only what comes from the way down goes on, not what comes from below."""
    assert isinstance(skip, nn.Conv2d)
    nn.init.zeros_(skip.weight)
    assert skip.bias is not None
    nn.init.zeros_(skip.bias)
    skip.weight[:, skip.out_channels :, 0, 0] = torch.eye(skip.out_channels)
