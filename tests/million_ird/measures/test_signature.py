"""Signatures: compared with imagehash, and stable when an image is encoded, framed or turned."""

import io
from pathlib import Path

import imagehash
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.signature import (
    COLUMNS,
    FRAME,
    KEYPOINT,
    MAX_KEYPOINTS,
    compute_signature,
    content_box,
    orient,
    pack_frame,
    pack_keypoints,
    phash,
    pixels_id,
)
from tests.million_ird import scenes

IMAGES = {"astronaut": skimage.data.astronaut, "cat": skimage.data.chelsea, "coffee": skimage.data.coffee}
TRANSPOSITIONS = {
    0: None,
    1: Image.Transpose.FLIP_LEFT_RIGHT,
    2: Image.Transpose.FLIP_TOP_BOTTOM,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.TRANSPOSE,
    5: Image.Transpose.ROTATE_90,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
}
"""Pillow's name for each orientation number of `orient`."""


def encode(image: Image.Image, format: str = "PNG") -> EncodedImage:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return EncodedImage(buffer.getvalue())


@settings(max_examples=300)
@given(pixels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90), st.just(3))))
def test_phash_equals_imagehash_bit_for_bit(pixels: np.ndarray) -> None:
    assert phash(pixels) == int(str(imagehash.phash(Image.fromarray(pixels))), 16)


@pytest.mark.parametrize("seed", range(20))
def test_phash_equals_imagehash_on_scenes(seed: int) -> None:
    image = scenes.photograph(seed, 50 + 17 * seed, 300 - 13 * seed)
    assert phash(np.asarray(image)) == int(str(imagehash.phash(image)), 16)


def test_phash_of_a_thumbnail_is_within_four_bits_of_that_of_the_whole(shared_data: Path) -> None:
    for path in sorted((shared_data / "photos").glob("*.jpg"))[:8]:
        image = EncodedImage(path.read_bytes())
        whole = int(str(imagehash.phash(Image.fromarray(image.pixels))), 16)
        fresh = EncodedImage(image.encoded)
        assert (phash(fresh.thumbnail) ^ whole).bit_count() <= 4, path.name


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("orientation", range(8))
def test_a_frame_matches_its_image_in_every_orientation(name: str, orientation: int) -> None:
    image = Image.fromarray(IMAGES[name]())
    turn = TRANSPOSITIONS[orientation]
    turned = image if turn is None else image.transpose(turn)
    packed = np.frombuffer(pack_frame(np.asarray(image)), FRAME)[0]
    of_turned = np.frombuffer(pack_frame(np.asarray(turned)), FRAME)[0]
    assert (int(packed["hashes"][orientation]) ^ phash(np.asarray(turned))).bit_count() <= 2
    difference = orient(packed["low"].astype(float), orientation) - of_turned["low"]
    assert np.abs(difference).max() <= 3


def test_the_same_pixels_have_the_same_id_in_every_container() -> None:
    image = scenes.photograph(3)
    names = {pixels_id(encode(image, format).pixels) for format in ("PNG", "BMP", "TIFF")}
    assert len(names) == 1
    changed = np.asarray(image).copy()
    changed[5, 6, 1] ^= 1
    assert pixels_id(changed) not in names
    assert pixels_id(changed.reshape(70, 80, 3)) != pixels_id(changed.reshape(80, 70, 3))


@pytest.mark.parametrize("shade", [0, 90, 255])
@pytest.mark.parametrize("sides", [(0, 0, 0, 0), (14, 14, 20, 20), (30, 0, 0, 0), (0, 0, 0, 9)])
def test_a_plain_border_is_not_content(shade: int, sides: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = sides
    image = np.asarray(Image.fromarray(IMAGES["cat"]()).convert("L").resize((220, 140)))
    framed = np.pad(image, ((top, bottom), (left, right)), constant_values=shade)
    box = content_box(framed)
    expected = (top, framed.shape[0] - bottom, left, framed.shape[1] - right)
    assert all(abs(a - b) <= 1 for a, b in zip(box, expected, strict=True))


def test_a_plain_sky_is_not_a_border() -> None:
    sky = np.tile(np.linspace(200, 90, 150).astype(np.uint8)[:, None], (1, 200))
    assert content_box(sky) == (0, 150, 0, 200)


@pytest.mark.parametrize("image", [np.zeros((60, 80), np.uint8), np.full((1, 1), 9, np.uint8)])
def test_a_flat_image_has_no_keypoints(image: np.ndarray) -> None:
    assert pack_keypoints(image, MAX_KEYPOINTS, 384) == b""


def test_keypoints_are_limited_spread_over_the_image_and_reproducible() -> None:
    luma = np.asarray(Image.fromarray(IMAGES["coffee"]()).convert("L"))
    packed = pack_keypoints(luma, 100, 384)
    assert packed == pack_keypoints(luma, 100, 384)
    keypoints = np.frombuffer(packed, KEYPOINT)
    assert 80 <= len(keypoints) <= 100
    quarters = {(x > 128, y > 128) for x, y in zip(keypoints["x"].tolist(), keypoints["y"].tolist(), strict=True)}
    assert len(quarters) == 4


def test_a_signature_fills_its_columns_and_is_reproducible() -> None:
    image = Image.fromarray(IMAGES["cat"]())
    first, second = compute_signature(encode(image)), compute_signature(encode(image))
    assert tuple(first) == COLUMNS
    assert first == second
    assert len(first["frame"]) == FRAME.itemsize
    assert len(first["points"]) % KEYPOINT.itemsize == 0
