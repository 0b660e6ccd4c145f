"""In-between frames by optical flow and the network that corrects it.

Flow and network work at a bounded size; the frames are warped at their own, so that detail comes
from their own pixels and a 4K clip costs hardly more thought than a small one.
"""

from __future__ import annotations

import importlib.resources
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidcascade.errors import UsageError
from vidcascade.flow.warp import warp_np
from vidcascade.interpolation.bands import bands, eight_bits, enlarged, reduced, warped
from vidcascade.interpolation.between import Frame, check_pair
from vidcascade.interpolation.matching import guess_motion
from vidcascade.interpolation.prior import flows_between
from vidcascade.interpolation.steady import standing_still
from vidcascade.interpolation.warp_network import (
    GRANULARITY,
    Correction,
    WarpNetwork,
)
from vidcascade.interpolation.warp_prior import prior_of
from vidcascade.nn.loading import load_model
from vidcascade.nn.precision import pick_device, working_dtype

__all__ = ["NetworkBetween", "bundled_interpolator"]

# Pixels that flow and network see at most; larger frames are reduced for them.
_AREAS = {"balanced": 420_000, "best": 1_000_000}
# Where more than a hundredth of the picture moves farther than this, in pixels of that size, they
# see a quarter of them, so that the motion fits what they can follow; but not less than this area.
_FAR, _LEAST = 40.0, 105_000
_REACH = 9  # side, in pixels, of the neighbourhood that must agree where a picture stands still
_STILL = 0.5  # pixels; flow below this is none where the frames agree exactly


def bundled_interpolator() -> Path:
    """Folder of the weights that come with the package: in a wheel, or ``assets/`` of a checkout.

    Raises:
        FileNotFoundError: this installation has none.
    """
    inside = Path(str(importlib.resources.files("vidcascade"))) / "_bundled/weights/interpolator"
    checkout = Path(__file__).parents[2] / "assets" / "weights" / "interpolator"
    for folder in (inside, checkout):
        if (folder / "config.json").is_file():
            return folder
    raise FileNotFoundError("This installation has no interpolation weights: install it again.")


def load_interpolator(folder: Path) -> WarpNetwork:
    """The network of a folder, in float32 and evaluation mode.

    Raises:
        VidCascadeError: files that are missing, damaged or of another network.
    """
    return load_model(WarpNetwork, folder)


@dataclass(frozen=True, eq=False)
class _Fields:
    """A :class:`Correction` of one frame as arrays (h, w, ·) on the working grid."""

    flows: NDArray[np.float32]
    share: NDArray[np.float32]  # of the first neighbour, the second, and both without motion
    residual: NDArray[np.float32]


class NetworkBetween:
    """Optical flow corrected by the network; see :class:`vidcascade.interpolation.between.Between`.

    Where the two frames are the same and nothing moves, what is returned is the same bit for bit.

    Args:
        quality: ``"balanced"``, or ``"best"``: a larger working size, flow at full resolution and
            the mean of two answers (the pair, and the pair mirrored in space and time).
        device: torch device of the network: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        steps: accepted for the common protocol; this network answers in one step.
        weights: folder of the weights; None takes those that come with the package.

    Raises:
        UsageError: an unknown quality, or a device that is not there.
        FileNotFoundError: the package's weights are not installed.
        VidCascadeError: the weights are damaged.
    """

    def __init__(
        self,
        quality: str = "balanced",
        device: str = "cpu",
        steps: int = 1,
        weights: Path | None = None,
    ) -> None:
        if quality not in _AREAS:
            raise UsageError(f"Quality {quality!r} is unknown: use {' or '.join(_AREAS)}.")
        if steps != 1:
            warnings.warn(
                "The interpolation network takes one step: steps is ignored.", stacklevel=2
            )
        self.area, self.best = _AREAS[quality], quality == "best"
        self.device = pick_device(device)
        self.dtype = working_dtype("bfloat16", self.device)
        self.network = load_interpolator(weights or bundled_interpolator())
        # Layers are cast, not wrapped in autocast, which would cast the weights at each call.
        torch.nn.Module.to(self.network, device=self.device, dtype=self.dtype)

    def __call__(self, first: Frame, second: Frame, times: Sequence[float]) -> list[Frame]:
        """The frames at ``times``, 0 < t < 1, in the shape and dtype of ``first``.

        Args:
            first: uint8 or uint16 (H, W, 3) RGB, any size.
            second: the frame after it, of the same size and dtype.
            times: as fractions of the interval; ``first`` is at 0 and ``second`` at 1.

        Raises:
            UsageError: frames that differ or are of another kind, or a time outside 0 to 1.
        """
        check_pair(first, second, times)
        if not times:
            return []
        if np.array_equal(first, second):
            return [first.copy() for _ in times]
        scale = float((self.area / (first.shape[0] * first.shape[1])) ** 0.5)
        small = [eight_bits(reduced(frame, scale)) for frame in (first, second)]
        guess = guess_motion(small[0], small[1])
        area = small[0].shape[0] * small[0].shape[1]
        zoom = float((_watched(area, guess.farthest(*small[0].shape[:2])) / area) ** 0.5)
        seen = [reduced(frame, zoom) for frame in small]
        ahead, back = flows_between(seen[0], seen[1], thorough=self.best, guess=guess)
        pair = [_to_tensor(frame, self.device) / 127.5 - 1 for frame in seen]
        flows = [_to_tensor(flow, self.device) for flow in (ahead, back)]
        still = _still(first, second)
        made = []
        for time in times:
            fields = _at_size(self._fields(pair, flows, float(time)), *small[0].shape[:2])
            fields = _steadied(fields, small[0], small[1])
            made.append(_composed(first, second, fields, float(time), still))
        return made

    @torch.inference_mode()
    def _fields(self, pair: list[Tensor], flows: list[Tensor], t: float) -> _Fields:
        given = self._correct(pair[0], pair[1], flows[0], flows[1], t)
        if self.best:
            sign = torch.tensor([-1.0, 1.0, -1.0, 1.0], device=pair[0].device)[:, None, None]
            second, first, back, ahead = (x.flip(3) for x in (*pair[::-1], *flows[::-1]))
            other = self._correct(second, first, back * sign[:2], ahead * sign[:2], 1 - t)
            given = Correction(
                coarse=given.coarse,
                flows=(given.flows + (other.flows * sign).flip(3)[:, [2, 3, 0, 1]]) / 2,
                visible=(given.visible - other.visible.flip(3)) / 2,
                held=(given.held + other.held.flip(3)) / 2,
                residual=(given.residual + other.residual.flip(3)) / 2,
            )
        one = torch.sigmoid(given.visible) * (1 - given.held)
        share = torch.cat((one, 1 - given.held - one, given.held), dim=1)
        return _Fields(_to_array(given.flows), _to_array(share), _to_array(given.residual))

    def _correct(
        self, first: Tensor, second: Tensor, ahead: Tensor, back: Tensor, t: float
    ) -> Correction:
        height, width = first.shape[-2:]
        pad = (0, -width % GRANULARITY, 0, -height % GRANULARITY)
        if any(pad):
            first, second, ahead, back = (
                F.pad(x, pad, mode="replicate") for x in (first, second, ahead, back)
            )
        time = torch.tensor([t], device=first.device)
        given: Correction = self.network(first, second, prior_of(ahead, back, time), time)
        if not any(pad):
            return given
        full = ("flows", "visible", "held", "residual")
        cut = {name: getattr(given, name)[..., :height, :width] for name in full}
        return Correction(coarse=given.coarse, **cut)


def _to_tensor(array: NDArray[np.uint8] | NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device).permute(2, 0, 1)[None].float()


def _to_array(x: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(x[0].permute(1, 2, 0).float().cpu().numpy())


def _watched(area: int, farthest: float) -> float:
    """How many of ``area`` pixels flow and network see where things move ``farthest`` pixels."""
    watched = float(area)
    while farthest > _FAR and watched > _LEAST:
        watched, farthest = max(watched / 4, float(_LEAST)), farthest / 2
    return watched


def _at_size(fields: _Fields, height: int, width: int) -> _Fields:
    """The same on a grid of another size, flows in its pixels."""
    before = fields.flows.shape[:2]
    if before == (height, width):
        return fields
    stretch = np.tile(np.array([width / before[1], height / before[0]], np.float32), 2)
    rows = slice(0, height)
    flows, share, residual = (
        enlarged(field, height, width, rows)
        for field in (fields.flows, fields.share, fields.residual)
    )
    return _Fields(flows * stretch, share, residual)


def _steadied(fields: _Fields, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> _Fields:
    """The same, with logos and subtitles taken from where they are, whatever the network says.

    ``first`` and ``second`` are the neighbours on the working grid.
    """
    ahead = warp_np(first, np.ascontiguousarray(fields.flows[..., :2]))
    behind = warp_np(second, np.ascontiguousarray(fields.flows[..., 2:]))
    still = standing_still(first, second, ahead, behind)[..., None]
    if not still.any():
        return fields
    share = fields.share * (1 - still)
    share[..., 2:] += still
    return _Fields(fields.flows, share, fields.residual * (1 - still))


def _still(first: Frame, second: Frame) -> NDArray[np.bool_]:
    """Where both frames are the same, and all around as well: bool (H, W)."""
    differ = np.asarray((first != second).any(axis=2), dtype=np.uint8)
    return np.asarray(cv2.dilate(differ, np.ones((_REACH, _REACH), np.uint8)) == 0)


def _composed(
    first: Frame, second: Frame, fields: _Fields, time: float, still: NDArray[np.bool_]
) -> Frame:
    """Both frames warped at their own size and mixed, a band of rows at a time."""
    height, width = first.shape[:2]
    top_value = np.float32(np.iinfo(first.dtype).max)
    grid_height, grid_width = fields.flows.shape[:2]
    stretch = np.tile(np.array([width / grid_width, height / grid_height], np.float32), 2)
    out = np.empty_like(first)
    for rows in bands(height):
        flows = enlarged(fields.flows, height, width, rows) * stretch
        share = enlarged(fields.share, height, width, rows)
        mixed = warped(first, flows[..., :2], rows) * share[..., :1]
        mixed += warped(second, flows[..., 2:], rows) * share[..., 1:2]
        held = first[rows] * np.float32(1 - time) + second[rows] * np.float32(time)
        mixed += held * share[..., 2:]
        mixed += enlarged(fields.residual, height, width, rows) * (top_value / 2)
        band = np.rint(mixed).clip(0, top_value).astype(first.dtype)
        stays = still[rows] & (np.abs(flows).max(axis=2) < _STILL)
        out[rows] = np.where(stays[..., None], first[rows], band)
    return out
