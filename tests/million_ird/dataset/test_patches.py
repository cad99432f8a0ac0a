"""Patches: a grid of disjoint squares, evenly spread, and what is measured of them."""

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from million_ird.dataset.patches import (
    PatchBox,
    cut_patches,
    grid,
    measure_patch,
    patch_id,
    resize_to_scale,
    scaled_size,
)
from million_ird.schema import PATCH_FIELDS

SIDES = st.integers(1, 3000)


@given(width=SIDES, height=SIDES, size=st.integers(16, 700))
def test_the_grid_has_as_many_disjoint_squares_as_fit(width: int, height: int, size: int) -> None:
    boxes = grid(width, height, size)
    assert len(boxes) == (width // size) * (height // size)
    for box in boxes:
        assert 0 <= box.x <= width - size
        assert 0 <= box.y <= height - size
        assert box.size == size
    columns = sorted({box.x for box in boxes})
    assert all(b - a >= size for a, b in itertools.pairwise(columns))
    assert len(set(boxes)) == len(boxes)


@given(side=SIDES, size=st.integers(16, 700))
def test_the_remainder_is_spread_evenly(side: int, size: int) -> None:
    starts = [box.x for box in grid(side, size, size)]
    if starts:
        gaps = [starts[0], *(b - a - size for a, b in itertools.pairwise(starts)), side - starts[-1] - size]
        inner = gaps[1:-1]
        assert sum(gaps) == side - len(starts) * size
        assert max(inner, default=0) - min(inner, default=0) <= 1
        assert abs(gaps[0] - gaps[-1]) <= 1


def test_an_image_smaller_than_a_patch_has_none() -> None:
    assert grid(511, 4000, 512) == []
    assert list(cut_patches(np.zeros((511, 4000, 3), np.uint8), 512)) == []


def test_patches_are_the_pixels_of_their_boxes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 3)).astype(np.uint8)
    patches = list(cut_patches(pixels, 64))
    assert len(patches) == 2 * 3
    for scale, box, patch in patches:
        assert scale == 1
        np.testing.assert_array_equal(patch, pixels[box.y : box.y + 64, box.x : box.x + 64])
        assert patch.flags["C_CONTIGUOUS"]


def test_scaled_patches_are_cut_from_the_resized_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 3)).astype(np.uint8)
    half = [(box, patch) for scale, box, patch in cut_patches(pixels, 64, (1.0, 0.5)) if scale == 0.5]
    assert len(half) == 1
    small = resize_to_scale(pixels, 0.5)
    assert small.shape == (75, 100, 3)
    box, patch = half[0]
    np.testing.assert_array_equal(patch, small[box.y : box.y + 64, box.x : box.x + 64])


def test_scale_one_returns_the_image_itself_and_sizes_are_at_least_one() -> None:
    pixels = np.zeros((3, 4, 3), np.uint8)
    assert resize_to_scale(pixels, 1.0) is pixels
    assert scaled_size(3, 4, 0.01) == (1, 1)


def test_patches_at_different_places_have_different_names() -> None:
    names = {
        patch_id("p", 1.0, PatchBox(1, 23, 64)),
        patch_id("p", 1.0, PatchBox(12, 3, 64)),
        patch_id("p", 0.5, PatchBox(12, 3, 64)),
        patch_id("q", 1.0, PatchBox(1, 23, 64)),
    }
    assert len(names) == 4


def test_measurements_of_a_patch_agree_with_opencv() -> None:
    patch = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    luma = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
    numbers = measure_patch(patch)
    assert tuple(numbers) == PATCH_FIELDS
    assert numbers["laplacian_variance"] == pytest.approx(cv2.Laplacian(luma, cv2.CV_64F).var(), rel=1e-6)
    assert set(measure_patch(np.full((64, 64, 3), 77, np.uint8)).values()) == {0.0}
