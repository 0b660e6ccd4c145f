"""How a training uses the machine that it is on."""

from __future__ import annotations

import os
import shutil

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from diffusers.utils import logging

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.precision import working_dtype


def use_plain_attention(network: SpaceTimeDenoiser, device: torch.device) -> None:
    """On CPUs the fused kernel's backward is ten times slower on sequences of a few tokens."""
    if device.type != "cpu":
        return
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # diffusers calls choosing a backend experimental
    network.set_attention_backend("_native_math")
    logging.set_verbosity(before)


def check_compiler(device: torch.device) -> None:
    """What compiling needs.

    Raises:
        UsageError: there is no C++ compiler, and the device is a CPU.
    """
    names = (os.environ.get("CXX", ""), "g++", "clang++", "cl")
    if device.type == "cpu" and not any(name and shutil.which(name) for name in names):
        raise UsageError("--compile needs a C++ compiler: install g++, or train without it.")


def make_accelerator(spec: CascadeSpec) -> Accelerator:
    """This process's share of the work, in the arithmetic of the spec where the device has it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # float16 trains only with loss scaling, for which bfloat16 has no need.
    wanted = "bfloat16" if spec.dtype == "float16" else spec.dtype
    precision = "bf16" if working_dtype(wanted, device) is torch.bfloat16 else "no"
    # Single frames leave the temporal layers without a gradient.
    parallel = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(mixed_precision=precision, cpu=device == "cpu", kwargs_handlers=[parallel])
