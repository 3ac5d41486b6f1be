"""Points followed from picture to picture, in NumPy: corners, their match, and pyramidal Lucas-Kanade.

Pictures are grey float32 (H, W); points are (N, 2) of (y, x), whole coordinates being the middles of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WINDOW = 15
"""Side of the patch that is matched."""
_STEPS = 12
_SMALL_STEP = 0.03
_BINOMIAL = np.array((0.0625, 0.25, 0.375, 0.25, 0.0625), dtype=np.float32)


def pyramid(grey: np.ndarray, levels: int) -> list[np.ndarray]:
    """The picture and its halvings, smoothed; it stops before a side falls below two windows."""
    pictures = [np.asarray(grey, dtype=np.float32)]
    while len(pictures) < levels and min(pictures[-1].shape) // 2 >= 2 * WINDOW:
        pictures.append(_smooth(pictures[-1])[::2, ::2])
    return pictures


def corners(grey: np.ndarray, count: int, distance: int, taken: np.ndarray | None = None) -> np.ndarray:
    """Up to `count` points that can be followed (Shi and Tomasi: gradients in both directions).

    Args:
        grey: picture.
        count: at most so many, the clearest first.
        distance: pixels between any two, and to those of `taken`, along either axis.
        taken: (M, 2) points that are there already.
    """
    if min(grey.shape) < 2 * WINDOW:
        return np.empty((0, 2))
    strength = _corner_strength(grey)
    border = WINDOW // 2 + 1
    strength[:border] = strength[-border:] = 0
    strength[:, :border] = strength[:, -border:] = 0
    for y, x in np.empty((0, 2)) if taken is None else np.round(taken).astype(int):
        strength[max(0, y - distance) : y + distance + 1, max(0, x - distance) : x + distance + 1] = 0
    least = max(0.01 * strength.max(initial=0.0), 1e-3)
    candidates = np.flatnonzero(strength > least)
    found: list[tuple[int, int]] = []
    for place in candidates[np.argsort(-strength.flat[candidates])]:
        if len(found) == count:
            break
        y, x = divmod(int(place), strength.shape[1])
        if strength[y, x] > least:  # else it is too close to a clearer one by now
            found.append((y, x))
            strength[max(0, y - distance) : y + distance + 1, max(0, x - distance) : x + distance + 1] = 0
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def follow(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], points: np.ndarray, guess: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where points of one picture lie in another (Lucas and Kanade, coarse to fine).

    Args:
        first: pyramid of the picture the points are in.
        second: pyramid of the other.
        points: (N, 2).
        guess: (N, 2) where to begin.

    Returns:
        (N, 2) places, and (N,) bool: those whose patch lies in the picture and could be matched.
    """
    if min(*first[0].shape, *second[0].shape) < 2 * WINDOW:
        return points, np.zeros(len(points), dtype=bool)
    levels = min(len(first), len(second))
    shift = (guess - points) / 2**levels
    good = np.ones(len(points), dtype=bool)
    for level in reversed(range(levels)):
        shift, here = shift * 2, points / 2**level
        gradients = np.gradient(first[level])
        patch = sample(first[level], here)
        slopes = np.stack([sample(gradient, here) for gradient in gradients], -1)
        slopes = slopes - slopes.mean(1, keepdims=True)
        matrix = np.einsum("npi,npj->nij", slopes, slopes)
        solvable = np.linalg.det(matrix) > 1e-3
        inverse = np.linalg.inv(np.where(solvable[:, None, None], matrix, np.eye(2)))
        moving = solvable.copy()
        for _ in range(_STEPS):
            error = patch[moving] - sample(second[level], (here + shift)[moving])
            error -= error.mean(1, keepdims=True)  # a brighter picture is no movement
            step = np.einsum("nij,npj,np->ni", inverse[moving], slopes[moving], error)
            shift[moving] += np.clip(step, -WINDOW / 2, WINDOW / 2)
            moving[moving] = np.abs(step).max(-1) > _SMALL_STEP
            if not moving.any():
                break
        good &= solvable if level == 0 else True
    places = points + shift
    return places, good & _inside(second[0].shape, places)


def look(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, WINDOW^2) patches around points, of mean 0 and length 1: their products are correlations."""
    patches = sample(picture, points)
    patches = patches - patches.mean(1, keepdims=True)
    return patches / np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1e-6)


def match(
    first: np.ndarray, second: np.ndarray, here: np.ndarray, there: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points of two pictures whose patches are each other's most alike, within `reach` pixels.

    Returns:
        Their places in `here` and in `there`.
    """
    if not len(here) or not len(there):
        return np.empty(0, dtype=int), np.empty(0, dtype=int)
    alike = look(first, here) @ look(second, there).T
    alike[np.abs(here[:, None] - there[None]).max(-1) > reach] = -1
    best, back = alike.argmax(1), alike.argmax(0)
    mutual = (back[best] == np.arange(len(here))) & (alike.max(1) > 0.8)
    return np.flatnonzero(mutual), best[mutual]


def sample(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, WINDOW^2) values of the patches around points, bilinear; beyond the border its values go on."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    y, x = (np.clip(points[:, i, None] + offsets, 0, picture.shape[i] - 1) for i in (0, 1))
    top, left = y.astype(int), x.astype(int)
    down, across = (y - top).astype(np.float32)[:, :, None], (x - left).astype(np.float32)[:, None]
    bottom, right = np.minimum(top + 1, picture.shape[0] - 1), np.minimum(left + 1, picture.shape[1] - 1)
    top, bottom, left, right = top[:, :, None], bottom[:, :, None], left[:, None], right[:, None]
    upper = picture[top, left] * (1 - across) + picture[top, right] * across
    lower = picture[bottom, left] * (1 - across) + picture[bottom, right] * across
    return (upper * (1 - down) + lower * down).reshape(len(points), WINDOW * WINDOW)


def _inside(shape: tuple[int, ...], points: np.ndarray) -> np.ndarray:
    border = WINDOW // 2
    return np.all((points >= border) & (points <= np.array(shape) - 1 - border), axis=1)


def _corner_strength(grey: np.ndarray) -> np.ndarray:
    """The smaller eigenvalue of the gradients' second moments."""
    down, across = np.gradient(_smooth(grey))
    yy, xx, yx = (_smooth(_smooth(product)) for product in (down * down, across * across, down * across))
    return (yy + xx) / 2 - np.sqrt(((yy - xx) / 2) ** 2 + yx**2)


def _smooth(picture: np.ndarray) -> np.ndarray:
    """Binomial of five in both directions."""
    for axis in (0, 1):
        padded = np.pad(picture, [(2, 2) if axis == a else (0, 0) for a in (0, 1)], mode="edge")
        length = picture.shape[axis]
        parts = [np.take(padded, range(start, start + length), axis) for start in range(5)]
        picture = np.einsum("pyx,p->yx", np.stack(parts), _BINOMIAL)
    return picture
