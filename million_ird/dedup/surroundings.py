"""What a copy shows beside the part that both show: more of the scene, or something that was put around it."""

from dataclasses import dataclass

import numpy as np

from million_ird.dedup.aligned import Box, Plane, correlate, luma

_DEPTH = 1.2
"""Least depth in px of a strip beside the overlap; less is an error of the alignment."""
_PLAIN = 3.0
"""Most standard deviation, in levels, of a plain strip."""
_MIRRORED = 0.6
"""Least correlation of a strip with what lies at the other side of the seam."""
_BLURRED = 0.25
_THIN = 2.5
_DETAIL = 2.0
_LEAST_BAR, _SAME_SCENE = 0.025, 0.95
"""Least depth, as a share of the side, of bars over a scene, and the correlation of what lies between them."""
_WRITTEN = 4.0
"""Least depth in px of a bar that is recognised by its even background alone, without a seam."""
_LEAST_PAGE = 0.09
"""Share of an image that a page has around a picture, at least; less with a seam is a scene with an edge."""
_SEAM, _SEAM_RATIO = 3.0, 2.0
"""Least step, in levels, across a seam, and how much larger it is than other steps near it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Shares of an image, 0 to 1, that lie beside the overlap."""

    added: float
    """Bars, mirrored or blurred sides, a page."""
    scene: float
    """More of the scene."""


def judge_surroundings(image: Plane, box: Box) -> Surroundings:
    """Judge the four strips beside a part of an image.

    Args:
        image: (h, w, 3) levels.
        box: The part in px.
    """
    grey = luma(image)
    height, width = grey.shape
    left, top, right, bottom = box
    shares = dict.fromkeys(("scene", "bar", "mirror", "blur", "page", ""), 0.0)
    for side, depth in enumerate((left, width - right, top, height - bottom)):
        if depth < _DEPTH:
            continue
        turned = (grey, grey[:, ::-1], grey.T, grey.T[:, ::-1])[side]
        low, high = (top, bottom) if side < 2 else (left, right)
        shares[strip_kind(turned[max(0, round(low)) : round(high)], depth)] += depth * (high - low) / (height * width)
    # A page is around a picture; a seam at one side of a scene that goes on at another is an edge in it.
    added = shares["bar"] + shares["mirror"] + shares["blur"]
    scene, page = shares["scene"], shares["page"]
    in_page = page > _LEAST_PAGE and not scene
    return Surroundings(added + page, 0.0) if in_page else Surroundings(added, scene + page)


def covered_by_bars(a: Plane, b: Plane) -> tuple[float, float]:
    """Return the shares, 0 to 1, of two copies on which plain bars lie at two opposite sides, over the scene.

    Args:
        a: (h, w) levels.
        b: (h, w) levels; the same part of the scene.
    """
    shares = [0.0, 0.0]
    for first, second in ((a, b), (a.T, b.T)):
        for side, (own, other) in enumerate(((first, second), (second, first))):
            rows = len(own)
            top, bottom = _plain_rows(own), _plain_rows(own[::-1])
            if min(top, bottom) < max(2.0, _LEAST_BAR * rows) or abs(top - bottom) > 2 or top + bottom > rows // 2:
                continue
            hidden = min(float(other[:top].std()), float(other[rows - bottom :].std()))
            inner = slice(top + 1, rows - bottom - 1)
            if hidden > 2 * _PLAIN and correlate(own[inner], other[inner]) > _SAME_SCENE:
                shares[side] = max(shares[side], (top + bottom) / rows)
    return shares[0], shares[1]


def _plain_rows(rows: Plane) -> int:
    """Return how many of the first rows have one level."""
    level = float(np.median(rows[0]))
    other = (rows.std(axis=1) >= _PLAIN) | (np.abs(rows.mean(axis=1) - level) >= _PLAIN)
    return int(other.argmax()) if other.any() else 0


def strip_kind(rows: Plane, depth: float) -> str:
    """Return what the first `depth` columns are: `scene`, `bar`, `mirror`, `blur` or `page`; nothing if unclear."""
    edge = round(depth)
    inside = min(rows.shape[1] - edge, max(6, edge))
    if inside < 4 or rows.shape[0] < 8:
        return ""
    seam, around = seam_steps(rows, edge)
    has_seam = seam > max(_SEAM, _SEAM_RATIO * around)
    outer = rows[:, : max(1, edge - 1)]
    if float(outer.std()) < _PLAIN or float(np.median(outer.std(axis=0))) < _PLAIN / 2:
        return "bar" if has_seam else ""
    if mirrored(rows, edge) > _MIRRORED:
        return "mirror"
    if detail_ratio(rows, edge) < _BLURRED:
        return "blur"
    paper = [float((np.abs(part - np.median(outer)) < _PLAIN).mean()) for part in (outer, rows[:, edge + 1 : edge + 4])]
    if paper[0] > 0.5:  # plain, with writing on it
        return "bar" if has_seam or (depth > _WRITTEN and paper[1] < 0.5 * paper[0]) else ""
    if has_seam and depth >= _THIN:
        return "page"
    # A strip without detail can be part of a scene, or blurred: nothing is lost without it.
    bends = np.abs(rows[2:, : max(1, edge - 1)] - 2 * rows[1:-1, : max(1, edge - 1)] + rows[:-2, : max(1, edge - 1)])
    return "scene" if float(np.quantile(bends, 0.9)) > _DETAIL else ""


def seam_steps(rows: Plane, edge: int) -> tuple[float, float]:
    """Return the step between columns at an edge, and that between other columns near it: medians over the rows."""
    steps = np.median(np.minimum(np.abs(np.diff(rows, axis=1)), 40), axis=0)  # step k is from column k to k + 1
    seam = float(steps[max(0, edge - 3) : edge + 2].max())
    others = np.concatenate([steps[: max(0, edge - 3)][-16:], steps[edge + 2 : edge + 18]])
    return seam, float(np.quantile(others, 0.9)) if len(others) else seam


def mirrored(rows: Plane, edge: int) -> float:
    """Return how well the slopes before an edge correlate with those after it, mirrored: −1 to 1."""
    slopes = np.diff(rows, axis=1)
    best = -1.0
    for centre in range(2 * edge - 3, 2 * edge + 2):  # twice the column of the mirror
        columns = np.arange(max(0, centre - slopes.shape[1] + 1), (centre + 1) // 2)[-24:]
        if len(columns) >= 5:
            best = max(best, correlate(slopes[:, columns], -slopes[:, centre - columns]))
    return best


def detail_ratio(rows: Plane, edge: int) -> float:
    """Return how much detail there is along the columns before an edge, relative to that after it; ≥ 0."""
    if edge < 4 or rows.shape[1] - edge < 4:
        return 1.0
    bends = np.abs(rows[2:] - 2 * rows[1:-1] + rows[:-2])
    outer, inner = bends[:, : edge - 1], bends[:, edge + 1 : edge + 1 + max(6, edge)]
    return float(np.quantile(outer, 0.9) + 0.3) / float(np.quantile(inner, 0.9) + 0.3)
