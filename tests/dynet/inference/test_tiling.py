from itertools import pairwise

import pytest
import torch

from dynet.inference.tiling import (
    TileBox,
    iter_blended_rows,
    round_tile_to_stride,
    run_tiled,
    smooth_weights,
    tile_boxes,
    tile_spans,
    tile_weights,
)


@pytest.mark.parametrize("length", [100, 101, 109, 192, 333, 3000])
@pytest.mark.parametrize(("tile", "overlap"), [(100, 8), (64, 8), (104, 0), (32, 4), (640, 80)])
def test_tiles_cover_a_side_overlap_enough_and_begin_at_multiples_of_8(length: int, tile: int, overlap: int) -> None:
    spans = tile_spans(length, tile, overlap)
    assert (spans[0][0], spans[-1][1]) == (0, length)
    assert all(end - first <= tile for first, end in spans)
    assert all(first % 8 == 0 for first, _ in spans)
    assert all(end - first >= overlap for (_, end), (first, _) in pairwise(spans))
    if length > tile:
        assert len({end - first for first, end in spans[:-1]}) == 1
        # Fewer tiles would not suffice.
        assert (len(spans) - 1) * (tile // 8 * 8 - -(-overlap // 8) * 8) < length - -(-overlap // 8) * 8


def test_a_tile_is_rounded_down_to_a_multiple_of_8() -> None:
    assert [round_tile_to_stride(tile) for tile in (None, 32, 33, 39, 40, 640)] == [None, 32, 32, 32, 40, 640]


def test_tiles_of_the_identity_give_the_image() -> None:
    image = torch.rand(1, 3, 130, 77)
    torch.testing.assert_close(run_tiled(lambda x: x, image, 48, 8), image, atol=1e-6, rtol=0)


def test_an_image_that_fits_one_tile_is_processed_whole() -> None:
    sizes = []
    run_tiled(lambda x: (sizes.append(tuple(x.shape)), x)[1], torch.rand(1, 3, 48, 30), 48, 8)
    assert sizes == [(1, 3, 48, 30)]


def test_tiles_that_differ_are_blended_without_an_edge() -> None:
    # The tiles return the constants 0 and 1: the largest possible difference.
    values = iter([0.0, 1.0])
    flat = run_tiled(lambda x: torch.full_like(x, next(values)), torch.zeros(1, 3, 16, 112), 64, 16)
    steps = flat[0, 0, 8].diff().abs()
    assert flat[0, 0, 8, 0] == 0
    assert flat[0, 0, 8, -1] == 1
    assert steps.max() < 0.15  # a hard edge would be a step of 1


def test_weights_are_never_zero_and_symmetric() -> None:
    weights = smooth_weights(64, 8)
    assert weights.min() > 0
    assert weights.max() == 1
    assert torch.equal(weights, weights.flip(0))


def test_every_pixel_of_a_tall_image_is_in_a_tile() -> None:
    covered = torch.zeros(200, 40)
    for top, left, bottom, right in tile_boxes(200, 40, 64, 8):
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"), [(130, 77, 48, 8), (100, 100, 64, 0), (30, 200, 48, 6)]
)
def test_rows_are_yielded_once_from_top_to_bottom_as_soon_as_they_are_complete(
    height: int, width: int, tile: int, overlap: int
) -> None:
    image = torch.rand(1, 3, height, width)
    boxes: list[TileBox] = []

    def restore(box: TileBox) -> torch.Tensor:
        boxes.append(box)
        top, left, bottom, right = box
        return image[..., top:bottom, left:right]

    next_top = 0
    for top, rows in iter_blended_rows(restore, height, width, tile, overlap):
        assert top == next_top
        next_top = top + rows.shape[2]
        torch.testing.assert_close(rows, image[..., top:next_top, :], atol=1e-6, rtol=0)
        assert boxes[-1][0] == top  # no tile of the next row has been restored
    assert next_top == height


@pytest.mark.parametrize(("length", "tile", "overlap"), [(130, 48, 8), (47, 48, 8), (200, 64, 0)])
def test_weights_of_tiles_add_up_to_one(length: int, tile: int, overlap: int) -> None:
    total = torch.zeros(length)
    for start, weights in tile_weights(length, tile, overlap).items():
        total[start : start + len(weights)] += weights
    torch.testing.assert_close(total, torch.ones(length))
