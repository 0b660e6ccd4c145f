"""Which arithmetic a device does well: a dtype that it emulates costs more than it saves."""

from __future__ import annotations

import torch

from vidcascade.errors import UsageError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def working_dtype(wanted: str, device: torch.device | str) -> torch.dtype:
    """The dtype to compute in: ``wanted`` (a key of :data:`DTYPES`) where it is native.

    CPUs without AVX512-BF16, AMX or their like emulate bfloat16 at about a twentieth of the speed
    of float32, and no CPU gains from float16: float32 is used there instead.
    """
    dtype = DTYPES[wanted]
    kind = torch.device(device).type
    if kind == "cpu" and (dtype is torch.float16 or not _cpu_has_bfloat16()):
        return torch.float32
    if kind == "cuda" and dtype is torch.bfloat16 and not torch.cuda.is_bf16_supported(False):
        return torch.float32
    return dtype


def _cpu_has_bfloat16() -> bool:
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def pick_device(name: str) -> torch.device:
    """The device for ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        UsageError: unknown, or not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"There is no device {name!r}: use auto, cpu, cuda or mps.") from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }.get(device.type, False)
    if not there:
        raise UsageError(f"Device {name!r} is not available here: use auto or cpu.")
    return device
