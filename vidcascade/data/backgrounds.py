"""Procedural backgrounds as functions of world coordinates.

World coordinates are frame units: the frame's short side is 1, the origin is the frame's centre
at the start, y points down. Because a background is a function of coordinates, the same scene
painted at 64, 128 and 256 pixels lines up; ``px``, the size of a pixel in frame units, sets the
width of the antialiased edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
U8 = NDArray[np.uint8]
Rng = np.random.Generator
Painter = Callable[[Array, Array, float, Rng], Array]

_REACH = 2.0  # noise and scattered points cover [-2, 2] x [-2, 2] frame units


def paint(name: str, xs: Array, ys: Array, px: float, seed: int) -> U8:
    """Paint a background on a grid.

    ``xs`` (W,) and ``ys`` (H,) are world coordinates of the pixel centres, ``px`` the pixel's
    size in frame units. Returns uint8 ``(H, W, 3)`` RGB. ``KeyError`` for an unknown name.
    """
    rng = np.random.default_rng((seed, 77))
    x, y = xs.astype(np.float32)[None, :], ys.astype(np.float32)[:, None]
    image = PAINTERS[name](x, y, px, rng)
    out = np.empty((ys.size, xs.size, 3), np.uint8)
    np.copyto(out, np.clip(image * 255 + 0.5, 0, 255), casting="unsafe")
    return out


def _rgb(rng: Rng, *colour: float, jitter: float = 0.05) -> Array:
    shift = rng.uniform(-jitter, jitter, 3) + rng.uniform(-jitter, jitter)
    out: Array = np.clip(np.array(colour) + shift, 0, 1).astype(np.float32)
    return out


def _edge(signed: Array, width: float) -> Array:
    """1 where ``signed`` > 0, 0 where < 0, a ramp ``width`` wide between."""
    return np.clip(signed / np.float32(max(width, 1e-6)) + 0.5, 0, 1)


def _mix(a: Array, b: Array, weight: Array) -> Array:
    w = weight[..., None]
    return a + (b - a) * w


def _gradient(y: Array, stops: list[tuple[float, Array]]) -> Array:
    """Vertical gradient through (y, colour) stops: (H, 1, 3)."""
    at = [s for s, _ in stops]
    cols = [np.interp(y[:, 0], at, [float(c[i]) for _, c in stops]) for i in range(3)]
    return np.stack(cols, -1).astype(np.float32)[:, None, :]


def _weights(v: Array, cells: int) -> Array:
    """Interpolation weights (len, cells + 1) of smooth value noise along one axis."""
    p = np.clip((v.ravel() + _REACH) / (2 * _REACH), 0, 1) * (cells - 1e-3)
    i = p.astype(np.int64)
    f = (p - i).astype(np.float32)
    f = f * f * (3 - 2 * f)
    w = np.zeros((p.size, cells + 1), np.float32)
    rows = np.arange(p.size)
    w[rows, i] = 1 - f
    w[rows, i + 1] = f
    return w


def _noise(
    x: Array, y: Array, rng: Rng, fx: float, fy: float, px: float, octaves: int = 2
) -> Array:
    """Value noise (H, W) about 0, within [-1, 1], ``fx`` and ``fy`` cells per frame unit.

    Octaves finer than two pixels are left out (they could only alias) but still drawn.
    """
    total: Array = np.zeros((y.size, x.size), np.float32)
    gain = 1.0
    for _ in range(octaves):
        nx, ny = max(2, round(fx * 2 * _REACH)), max(2, round(fy * 2 * _REACH))
        lattice = rng.uniform(-1, 1, (ny + 1, nx + 1)).astype(np.float32)
        if max(fx, fy) * px < 0.5:
            total += np.float32(gain) * (_weights(y, ny) @ lattice @ _weights(x, nx).T)
        fx, fy, gain = fx * 2, fy * 2, gain * 0.5
    return total / np.float32(2 - 2 * gain)


def _scatter(
    image: Array, x: Array, y: Array, px: float, rng: Rng,
    per_unit: float, radius: tuple[float, float], colour: Array, soft: float = 1.0,
) -> None:  # fmt: skip
    """Add small round spots in place, at least a pixel wide with their light conserved."""
    count = int(per_unit * (2 * _REACH) ** 2)
    points = rng.uniform(-_REACH, _REACH, (count, 2))
    radii = rng.uniform(*radius, count)
    power = rng.uniform(0.35, 1.0, count)
    x0, y0 = float(x[0, 0]), float(y[0, 0])
    step = float(x[0, 1] - x[0, 0]) if x.size > 1 else px
    margin = 2.5 * max(radius[1], px)
    near = (
        (points[:, 0] > x0 - margin) & (points[:, 0] < float(x[0, -1]) + margin)
        & (points[:, 1] > y0 - margin) & (points[:, 1] < float(y[-1, 0]) + margin)
    )  # fmt: skip
    for (cx, cy), r, p in zip(points[near], radii[near], power[near], strict=True):
        s = max(r, 0.55 * px)
        p *= min(1.0, 1.6 * (r / s) ** 2)
        reach = 2.5 * s
        j0, j1 = int((cx - reach - x0) / step), int((cx + reach - x0) / step) + 2
        i0, i1 = int((cy - reach - y0) / step), int((cy + reach - y0) / step) + 2
        j0, i0, j1, i1 = max(j0, 0), max(i0, 0), min(j1, x.size), min(i1, y.size)
        if j0 >= j1 or i0 >= i1:
            continue
        d2 = (x[:, j0:j1] - cx) ** 2 + (y[i0:i1] - cy) ** 2
        w = (p * soft * np.exp(-d2 / (s * s))).astype(np.float32)[..., None]
        view = image[i0:i1, j0:j1]
        view += (colour - view) * w


def _full(image: Array, x: Array, y: Array) -> Array:
    return np.array(np.broadcast_to(image, (y.size, x.size, 3)), np.float32)


def _ridge(x: Array, rng: Rng, level: float, height: float) -> Array:
    """A hilly line y(x): (1, W)."""
    out = np.full_like(x, level)
    for k in (0.6, 1.3, 2.9):
        out += np.float32(height / (1 + k)) * np.sin(math.tau * k * x + rng.uniform(0, math.tau))
    return out.astype(np.float32)


def _sky(x: Array, y: Array, px: float, rng: Rng) -> Array:
    top, low = _rgb(rng, 0.22, 0.52, 0.92), _rgb(rng, 0.62, 0.83, 0.98)
    base = _gradient(y, [(-0.6, top), (0.6, low)])
    cloud = _noise(x, y, rng, 2.0, 3.4, px, 4)
    return _mix(
        base, _rgb(rng, 0.98, 0.98, 1.0, jitter=0.01), np.clip((cloud - 0.02) * 3.2, 0, 0.95)
    )


def _night(x: Array, y: Array, px: float, rng: Rng) -> Array:
    top, low = _rgb(rng, 0.02, 0.03, 0.12, jitter=0.015), _rgb(rng, 0.08, 0.13, 0.34, jitter=0.03)
    image = _full(_gradient(y, [(-0.6, top), (0.6, low)]), x, y)
    _scatter(image, x, y, px, rng, 34, (0.006, 0.013), np.array([1, 1, 0.92], np.float32))
    return image


def _sunset(x: Array, y: Array, px: float, rng: Rng) -> Array:
    h = rng.uniform(0.15, 0.3)
    stops = [
        (-0.6, _rgb(rng, 0.28, 0.14, 0.42)),
        (-0.1, _rgb(rng, 0.86, 0.30, 0.35)),
        (h, _rgb(rng, 1.0, 0.70, 0.25)),
        (h + 0.5, _rgb(rng, 0.95, 0.45, 0.20)),
    ]
    base = _gradient(y, stops)
    cx = rng.uniform(-0.3, 0.3)
    glow = np.exp(-((x - cx) ** 2 + (y - h) ** 2) / 0.06).astype(np.float32)
    lit = _mix(base, np.array([1, 0.92, 0.6], np.float32), 0.75 * glow)
    band = np.clip(_noise(x, y, rng, 1.0, 7.0, px, 2) * 2 - 0.3, 0, 0.5)
    return _mix(lit, stops[0][1], band * np.clip(0.4 - y, 0, 1))


def _ground(y: Array, px: float, sky: Array, land: Array, line: Array) -> Array:
    return _mix(sky, land, _edge(y - line, 1.5 * px))


def _meadow(x: Array, y: Array, px: float, rng: Rng) -> Array:
    sky = _gradient(y, [(-0.6, _rgb(rng, 0.45, 0.74, 0.96)), (0.2, _rgb(rng, 0.80, 0.92, 0.99))])
    near, far = _rgb(rng, 0.16, 0.48, 0.12), _rgb(rng, 0.45, 0.75, 0.25)
    line = _ridge(x, rng, rng.uniform(0.0, 0.15), 0.05)
    land = _gradient(y, [(0.0, far), (0.55, near)])
    blades = _noise(x, y, rng, 16, 5, px, 2)
    return _ground(y, px, sky, land * (1 + 0.28 * blades[..., None]), line)


def _ocean(x: Array, y: Array, px: float, rng: Rng) -> Array:
    sky = _gradient(y, [(-0.6, _rgb(rng, 0.55, 0.78, 0.95)), (0.1, _rgb(rng, 0.90, 0.94, 0.96))])
    far, near = _rgb(rng, 0.12, 0.48, 0.70), _rgb(rng, 0.02, 0.20, 0.48)
    h = rng.uniform(-0.12, 0.02)
    water = _gradient(y, [(h, far), (0.55, near)])
    ripple = _noise(x, y, rng, 3, 14, px, 2) + 0.3 * np.sin(
        math.tau * (7 * y + 0.3 * np.sin(5 * x))
    )
    water = _mix(water, _rgb(rng, 0.75, 0.92, 0.98), np.clip(ripple * 0.8 - 0.12, 0, 0.55))
    return _ground(y, px, sky, water, np.full_like(x, h))


def _desert(x: Array, y: Array, px: float, rng: Rng) -> Array:
    sky = _gradient(y, [(-0.6, _rgb(rng, 0.52, 0.74, 0.88)), (0.1, _rgb(rng, 0.98, 0.90, 0.70))])
    light, dark = _rgb(rng, 0.94, 0.76, 0.44), _rgb(rng, 0.78, 0.52, 0.24)
    far = _ridge(x, rng, rng.uniform(-0.05, 0.1), 0.1)
    back = _ground(y, px, sky, light[None, None], far)
    grain = _noise(x, y, rng, 3, 16, px, 2)[..., None]
    return _ground(y, px, back, dark * (1 + 0.12 * grain), _ridge(x, rng, 0.26, 0.13))


def _snow(x: Array, y: Array, px: float, rng: Rng) -> Array:
    sky = _gradient(y, [(-0.6, _rgb(rng, 0.52, 0.62, 0.76)), (0.2, _rgb(rng, 0.76, 0.82, 0.90))])
    bright = _rgb(rng, 0.97, 0.98, 1.0, jitter=0.01)
    land = _gradient(y, [(0.1, bright), (0.6, _rgb(rng, 0.82, 0.88, 0.96, jitter=0.02))])
    line = _ridge(x, rng, rng.uniform(0.1, 0.22), 0.05)
    image = _full(_ground(y, px, sky, land, line), x, y)
    _scatter(image, x, y, px, rng, 36, (0.010, 0.020), np.ones(3, np.float32))
    return image


def _space(x: Array, y: Array, px: float, rng: Rng) -> Array:
    cloud = _noise(x, y, rng, 1.6, 1.6, px, 3)
    other = _noise(x, y, rng, 2.2, 2.2, px, 2)
    dark, violet = _rgb(rng, 0.04, 0.01, 0.07, jitter=0.015), _rgb(rng, 0.52, 0.10, 0.60)
    image = _mix(dark, violet, np.clip(0.25 + cloud, 0, 1))
    image = _mix(image, _rgb(rng, 0.10, 0.35, 0.62), np.clip(other - 0.05, 0, 0.7))
    _scatter(image, x, y, px, rng, 22, (0.005, 0.011), np.ones(3, np.float32))
    return image


def _underwater(x: Array, y: Array, px: float, rng: Rng) -> Array:
    image = _gradient(y, [(-0.6, _rgb(rng, 0.20, 0.78, 0.80)), (0.6, _rgb(rng, 0.01, 0.22, 0.38))])
    k, phase = rng.uniform(1.5, 2.5), rng.uniform(0, math.tau)
    rays = np.sin(math.tau * k * (x + 0.45 * y) + phase)
    rays = rays + 0.6 * np.sin(math.tau * 2.3 * k * (x + 0.4 * y))
    glow = np.clip(rays * 0.22, 0, 0.3) * np.clip(0.6 - y, 0, 1)
    image = _full(_mix(image, np.ones(3, np.float32), glow), x, y)
    _scatter(image, x, y, px, rng, 7, (0.012, 0.03), _rgb(rng, 0.75, 0.98, 1.0), 0.6)
    return image


def _two_tone(rng: Rng) -> tuple[Array, Array]:
    """A random hue in a pale and a deeper version."""
    h = rng.uniform(0, 1)
    hue = np.clip(np.abs((h * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    pale, deep = rng.uniform(0.12, 0.28), rng.uniform(0.45, 0.7)
    light, dark = 1 - pale * (1 - hue), 0.92 * (1 - deep * (1 - hue))
    return light.astype(np.float32), dark.astype(np.float32)


def _wave(v: Array, period: float, px: float) -> Array:
    """Antialiased square wave in [0, 1]."""
    tri = np.abs((v / period) % 1.0 - 0.5) - 0.25
    return _edge(tri, px / period)


def _checkerboard(x: Array, y: Array, px: float, rng: Rng) -> Array:
    a, b = _two_tone(rng)
    period = rng.uniform(0.34, 0.5)
    u = _wave(x + rng.uniform(0, 1), period, px)
    v = _wave(y + rng.uniform(0, 1), period, px)
    return _mix(a, b, u + v - 2 * u * v)


def _stripes(x: Array, y: Array, px: float, rng: Rng) -> Array:
    a, b = _two_tone(rng)
    angle = rng.choice([0.0, 0.785, 1.571, 2.356])
    v = x * math.cos(angle) + y * math.sin(angle) + rng.uniform(0, 1)
    return _mix(a, b, _wave(v.astype(np.float32), rng.uniform(0.2, 0.32), px))


def _dots(x: Array, y: Array, px: float, rng: Rng) -> Array:
    a, b = _two_tone(rng)
    if rng.random() < 0.5:
        a, b = b, a
    p = rng.uniform(0.22, 0.32)
    u, v = x + rng.uniform(0, 1), y + rng.uniform(0, 1)
    row = np.floor(v / p)
    du = ((u / p + 0.5 * (row % 2)) % 1.0 - 0.5) * p
    dv = ((v / p) % 1.0 - 0.5) * p
    return _mix(a, b, _edge(p * 0.3 - np.hypot(du, dv), px))


def _bricks(x: Array, y: Array, px: float, rng: Rng) -> Array:
    brick, mortar = _rgb(rng, 0.64, 0.26, 0.19), _rgb(rng, 0.78, 0.74, 0.68)
    h = rng.uniform(0.11, 0.15)
    w, gap = 2.3 * h, 0.011
    u, v = x + rng.uniform(0, 1) + 8 * w, y + rng.uniform(0, 1) + 8 * h
    row = np.floor(v / h)
    shifted = u / w + 0.5 * (row % 2)
    col = np.floor(shifted)
    inside_v = h / 2 - np.abs((v / h) % 1 - 0.5) * h
    inside_u = w / 2 - np.abs(shifted % 1 - 0.5) * w
    table = rng.uniform(-0.18, 0.18, (61, 61)).astype(np.float32)
    tone = table[row.astype(np.int64) % 61, col.astype(np.int64) % 61]
    joint = 2 * gap - np.minimum(inside_u, inside_v)
    return _mix(brick * (1 + tone[..., None]), mortar, _edge(joint - gap, px))


def _wood(x: Array, y: Array, px: float, rng: Rng) -> Array:
    light, dark = _rgb(rng, 0.76, 0.53, 0.31), _rgb(rng, 0.47, 0.28, 0.13)
    h = rng.uniform(0.2, 0.28)
    v = y + rng.uniform(0, 1) + 8 * h
    plank = np.floor(v / h)
    tone = rng.uniform(0, 0.35, 61).astype(np.float32)[plank.astype(np.int64) % 61]
    warp = _noise(x, y, rng, 1.2, 6, px, 2)
    rings = 0.5 + 0.5 * np.sin(math.tau * (9 * v + 1.2 * warp + 3 * plank))
    image = _mix(light, dark, np.clip(tone + 0.38 * rings, 0, 1))
    gap = 0.006 - (h / 2 - np.abs((v / h) % 1 - 0.5) * h)
    return image * (1 - 0.6 * _edge(gap, px))[..., None]


def _studio(low: float, high: float) -> Painter:
    def painter(x: Array, y: Array, px: float, rng: Rng) -> Array:
        level = rng.uniform(low, high)
        tint = (level * (1 + rng.uniform(-0.02, 0.02, 3))).astype(np.float32)
        cx, cy = rng.uniform(-0.2, 0.2, 2)
        fall = 1 - 0.14 * np.clip((x - cx) ** 2 + (y - cy) ** 2, 0, 1.5)
        return tint * fall.astype(np.float32)[..., None]

    return painter


PAINTERS: dict[str, Painter] = {
    "sky": _sky,
    "night": _night,
    "sunset": _sunset,
    "meadow": _meadow,
    "ocean": _ocean,
    "desert": _desert,
    "snow": _snow,
    "space": _space,
    "underwater": _underwater,
    "checkerboard": _checkerboard,
    "stripes": _stripes,
    "dots": _dots,
    "bricks": _bricks,
    "wood": _wood,
    "grey": _studio(0.42, 0.62),
    "white": _studio(0.95, 1.0),
}
"""Every background's painter: ``(x (1, W), y (H, 1), px, rng) -> (H, W, 3)`` or broadcastable."""
