"""Which attention backends are let through."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from vidcascade.errors import UsageError
from vidcascade.nn.attention import check_backend
from vidcascade.nn.denoiser import SpaceTimeDenoiser


def test_native_works_everywhere_and_nonsense_nowhere() -> None:
    check_backend("native", "cpu")
    with pytest.raises(UsageError, match="native"):
        check_backend("magic", "cpu")


@pytest.mark.skipif(find_spec("xformers") is not None, reason="xformers is installed")
def test_a_missing_backend_names_the_extra() -> None:
    with pytest.raises(UsageError, match=r"pip install 'vidcascade\[xformers\]'"):
        check_backend("xformers", "cuda")


@pytest.mark.skipif(find_spec("xformers") is None, reason="xformers is not installed")
def test_xformers_is_refused_on_a_cpu() -> None:
    with pytest.raises(UsageError, match="needs a GPU"):
        check_backend("xformers", "cpu")


@pytest.mark.skipif(
    find_spec("xformers") is None or not torch.cuda.is_available(), reason="needs xformers on CUDA"
)
def test_xformers_agrees_with_native() -> None:
    torch.manual_seed(0)
    network = SpaceTimeDenoiser(channels=(32, 64), depths=(1, 1), head_dim=32).cuda().half()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    video = torch.randn(1, 4, 3, 32, 32, device="cuda").half()
    sigma = torch.full((1,), 0.5, device="cuda")
    with torch.no_grad():
        native = network(video, sigma)
        network.set_attention_backend("xformers")
        torch.testing.assert_close(network(video, sigma), native, atol=2e-2, rtol=1e-2)
