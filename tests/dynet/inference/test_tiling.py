from itertools import pairwise

import pytest
import torch

from dynet.inference.tiling import (
    Box,
    blended_rows,
    in_strides,
    run_tiled,
    smooth_weights,
    tile_boxes,
    tile_shares,
    tile_spans,
)


@pytest.mark.parametrize("length", [100, 101, 109, 192, 333, 3000])
@pytest.mark.parametrize(("tile", "overlap"), [(100, 8), (64, 8), (104, 0), (32, 4), (640, 80)])
def test_tiles_cover_a_side_overlap_as_asked_and_begin_where_features_are_halved(
    length: int, tile: int, overlap: int
) -> None:
    spans = tile_spans(length, tile, overlap)
    assert (spans[0][0], spans[-1][1]) == (0, length)
    assert all(end - first <= tile for first, end in spans)
    assert all(first % 8 == 0 for first, _ in spans)
    assert all(end - first >= overlap for (_, end), (first, _) in pairwise(spans))
    if length > tile:
        assert len({end - first for first, end in spans[:-1]}) == 1
        # No fewer tiles would do.
        assert (len(spans) - 1) * (tile // 8 * 8 - -(-overlap // 8) * 8) < length - -(-overlap // 8) * 8


def test_a_tile_is_said_as_it_is_computed() -> None:
    assert [in_strides(tile) for tile in (None, 32, 33, 39, 40, 640)] == [None, 32, 32, 32, 40, 640]


def test_tiles_of_a_network_that_changes_nothing_are_the_picture() -> None:
    picture = torch.rand(1, 3, 130, 77)
    torch.testing.assert_close(run_tiled(lambda x: x, picture, 48, 8), picture, atol=1e-6, rtol=0)


def test_a_picture_that_fits_one_tile_is_run_whole() -> None:
    sizes = []
    run_tiled(lambda x: (sizes.append(tuple(x.shape)), x)[1], torch.rand(1, 3, 48, 30), 48, 8)
    assert sizes == [(1, 3, 48, 30)]


def test_tiles_that_disagree_meet_without_an_edge() -> None:
    # Each tile answers with another constant, as far apart as can be: the worst that tiles can do.
    answers = iter([0.0, 1.0])
    flat = run_tiled(lambda x: torch.full_like(x, next(answers)), torch.zeros(1, 3, 16, 112), 64, 16)
    steps = flat[0, 0, 8].diff().abs()
    assert flat[0, 0, 8, 0] == 0
    assert flat[0, 0, 8, -1] == 1
    assert steps.max() < 0.15  # a hard edge would be a step of 1


def test_weights_are_never_zero_and_symmetric() -> None:
    weights = smooth_weights(64, 8)
    assert weights.min() > 0
    assert weights.max() == 1
    assert torch.equal(weights, weights.flip(0))


def test_every_pixel_of_a_tall_picture_is_in_a_tile() -> None:
    covered = torch.zeros(200, 40)
    for top, left, bottom, right in tile_boxes(200, 40, 64, 8):
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"), [(130, 77, 48, 8), (100, 100, 64, 0), (30, 200, 48, 6)]
)
def test_rows_come_once_from_top_to_bottom_as_soon_as_they_are_done(
    height: int, width: int, tile: int, overlap: int
) -> None:
    picture = torch.rand(1, 3, height, width)
    asked: list[Box] = []

    def restore(box: Box) -> torch.Tensor:
        asked.append(box)
        top, left, bottom, right = box
        return picture[..., top:bottom, left:right]

    next_top = 0
    for top, rows in blended_rows(restore, height, width, tile, overlap):
        assert top == next_top
        next_top = top + rows.shape[2]
        torch.testing.assert_close(rows, picture[..., top:next_top, :], atol=1e-6, rtol=0)
        assert asked[-1][0] == top  # no tile of the next row has been asked for
    assert next_top == height


@pytest.mark.parametrize(("length", "tile", "overlap"), [(130, 48, 8), (47, 48, 8), (200, 64, 0)])
def test_shares_of_tiles_add_up_to_one(length: int, tile: int, overlap: int) -> None:
    total = torch.zeros(length)
    for start, share in tile_shares(length, tile, overlap).items():
        total[start : start + len(share)] += share
    torch.testing.assert_close(total, torch.ones(length))
