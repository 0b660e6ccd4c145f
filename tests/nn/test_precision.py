"""Dtypes and devices that are there, and those that are not."""

from __future__ import annotations

import pytest
import torch

from vidcascade.errors import UsageError
from vidcascade.nn import precision


@pytest.mark.parametrize("native", [False, True])
def test_a_cpu_computes_in_what_it_has(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: native)
    found = {name: precision.working_dtype(name, "cpu") for name in precision.DTYPES}
    assert found["float32"] is torch.float32
    assert found["float16"] is torch.float32
    assert found["bfloat16"] is (torch.bfloat16 if native else torch.float32)


def test_devices() -> None:
    assert precision.pick_device("cpu").type == "cpu"
    assert precision.pick_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("abacus", "", "cuda:99", "meta"):
        with pytest.raises(UsageError):
            precision.pick_device(name)
