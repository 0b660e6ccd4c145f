"""diffusers' schedulers behind one small face: which σ come next, and one step.

The network knows flow σ and predicts x. A scheduler may keep its sample as ``α·x + s·ε`` with any
(α, s): dividing by α + s gives the flow path at σ = s/(α + s), so that variance-preserving
schedulers (DDIM) run the same network as flow-matching ones.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import torch
from torch import Tensor

from vidcascade.diffusion.flow_matching import shift_sigma, unshift_sigma, velocity

_FLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", {"shift": 1.0}),
    "unipc": (
        "UniPCMultistepScheduler",
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 1.0},
    ),
    "dpmpp": (
        "DPMSolverMultistepScheduler",
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 1.0},
    ),
}
SCHEDULERS = (*_FLOW, "ddim")


@dataclass
class Schedule:
    """A scheduler set to run from flow σ ``start`` to 0.

    Attributes:
        sigmas: the flow σ of each step, falling, without the final 0.
    """

    name: str
    steps: int
    shift: float = 1.0
    start: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in SCHEDULERS:
            raise ValueError(f"scheduler must be one of {', '.join(SCHEDULERS)}, not {self.name!r}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")
        if self.name == "ddim":
            self._prepare_ddim()
        else:
            self._prepare_flow()

    def _grid(self) -> Tensor:
        top = unshift_sigma(self.start, self.shift)
        return shift_sigma(torch.linspace(top, 0, self.steps + 1)[:-1], self.shift)

    def _prepare_flow(self) -> None:
        class_name, settings = _FLOW[self.name]
        cls = getattr(diffusers, class_name)
        self.scheduler = cls(**settings)
        # Solvers in log-SNR cannot start at σ = 1 exactly, where it is infinite.
        grid = self._grid().clamp(max=1.0 if self.name == "flow_euler" else 0.999)
        if "sigmas" in inspect.signature(cls.set_timesteps).parameters:
            self.scheduler.set_timesteps(sigmas=grid.numpy().astype(np.float32))
        else:
            # DPM-Solver takes no list of levels: put ours where it would have put its own.
            self.scheduler.set_timesteps(self.steps)
            self.scheduler.sigmas = torch.cat((grid, torch.zeros(1)))
            self.scheduler.timesteps = grid * 1000
        # Levels can round to the same timestep, so steps are counted rather than looked up.
        self.scheduler.set_begin_index(0)
        self.sigmas = [float(s) for s in self.scheduler.sigmas[: self.steps]]
        self._scale = [1.0] * self.steps

    def _prepare_ddim(self) -> None:
        self.scheduler = diffusers.DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.0001,
            beta_end=0.02,
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            prediction_type="sample",
            clip_sample=False,
        )
        table = self.scheduler.alphas_cumprod.double()
        alpha, spread = table.sqrt(), (1 - table).sqrt()
        flow = (spread / (alpha + spread)).numpy()
        wanted = self._grid().double().numpy()
        steps = [int(np.abs(flow - s).argmin()) for s in wanted]
        # Few distinct levels are left when many steps are asked of a short stretch.
        steps = sorted(set(steps), reverse=True)
        self.scheduler.num_inference_steps = len(steps)
        self.scheduler.timesteps = torch.tensor(steps)
        self.steps = len(steps)
        self.sigmas = [float(flow[t]) for t in steps]
        self._scale = [float(alpha[t] + spread[t]) for t in steps]

    def initial(self, x: Tensor | None, noise: Tensor) -> Tensor:
        """The sample to start from: noise, or x (B, …) noised to ``start``."""
        sigma = self.sigmas[0]
        start = noise if x is None or sigma >= 1.0 else (1 - sigma) * x + sigma * noise
        return start * self._scale[0]

    def network_input(self, index: int, sample: Tensor) -> Tensor:
        """The scheduler's sample as a point of the flow path."""
        return sample / self._scale[index]

    def step(self, index: int, x: Tensor, sample: Tensor) -> Tensor:
        """The next sample, from the predicted x (B, …) at step ``index``."""
        if self.name == "ddim":
            return self._ddim_step(index, x, sample)
        sigma = torch.full((sample.shape[0],), self.sigmas[index], device=sample.device)
        output = velocity(sample, x, sigma)
        timestep = self.scheduler.timesteps[index]
        return self.scheduler.step(output, timestep, sample, return_dict=False)[0]

    def _ddim_step(self, index: int, x: Tensor, sample: Tensor) -> Tensor:
        # diffusers' DDIM derives the previous timestep from an even grid; ours follows the flow σ,
        # so the deterministic update (Song et al. 2021, eq. 12, η = 0) is applied to our grid.
        table = self.scheduler.alphas_cumprod.double()
        steps = [int(t) for t in self.scheduler.timesteps]
        now = float(table[steps[index]])
        following = float(table[steps[index + 1]]) if index + 1 < len(steps) else 1.0
        noise = (sample - now**0.5 * x) / max((1 - now) ** 0.5, 1e-8)
        return following**0.5 * x + (1 - following) ** 0.5 * noise
