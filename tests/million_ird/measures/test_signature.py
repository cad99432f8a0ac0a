"""What pictures are recognised by, against imagehash and against what is done to pictures."""

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

PICTURES = {"astronaut": skimage.data.astronaut, "cat": skimage.data.chelsea, "coffee": skimage.data.coffee}
TURNS = {
    0: None,
    1: Image.Transpose.FLIP_LEFT_RIGHT,
    2: Image.Transpose.FLIP_TOP_BOTTOM,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.TRANSPOSE,
    5: Image.Transpose.ROTATE_90,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
}
"""What `oriented` calls by number, as Pillow calls it."""


def sample_of(picture: Image.Image, form: str = "PNG") -> EncodedImage:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return EncodedImage(buffer.getvalue())


@settings(max_examples=300)
@given(pixels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90), st.just(3))))
def test_phash_is_imagehash_s_bit_for_bit(pixels: np.ndarray) -> None:
    assert phash(pixels) == int(str(imagehash.phash(Image.fromarray(pixels))), 16)


@pytest.mark.parametrize("seed", range(20))
def test_phash_is_imagehash_s_on_pictures(seed: int) -> None:
    picture = scenes.photograph(seed, 50 + 17 * seed, 300 - 13 * seed)
    assert phash(np.asarray(picture)) == int(str(imagehash.phash(picture)), 16)


def test_phash_of_a_thumbnail_is_within_four_bits_of_that_of_the_whole(shared_data: Path) -> None:
    for path in sorted((shared_data / "photos").glob("*.jpg"))[:8]:
        sample = EncodedImage(path.read_bytes())
        whole = int(str(imagehash.phash(Image.fromarray(sample.pixels))), 16)
        fresh = EncodedImage(sample.encoded)
        assert (phash(fresh.thumbnail) ^ whole).bit_count() <= 4, path.name


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("which", range(8))
def test_a_frame_knows_its_picture_in_every_orientation(name: str, which: int) -> None:
    picture = Image.fromarray(PICTURES[name]())
    turn = TURNS[which]
    turned = picture if turn is None else picture.transpose(turn)
    packed = np.frombuffer(pack_frame(np.asarray(picture)), FRAME)[0]
    of_turned = np.frombuffer(pack_frame(np.asarray(turned)), FRAME)[0]
    assert (int(packed["hashes"][which]) ^ phash(np.asarray(turned))).bit_count() <= 2
    difference = orient(packed["low"].astype(float), which) - of_turned["low"]
    assert np.abs(difference).max() <= 3


def test_the_same_pixels_have_one_name_in_every_container() -> None:
    picture = scenes.photograph(3)
    names = {pixels_id(sample_of(picture, form).pixels) for form in ("PNG", "BMP", "TIFF")}
    assert len(names) == 1
    changed = np.asarray(picture).copy()
    changed[5, 6, 1] ^= 1
    assert pixels_id(changed) not in names
    assert pixels_id(changed.reshape(70, 80, 3)) != pixels_id(changed.reshape(80, 70, 3))


@pytest.mark.parametrize("shade", [0, 90, 255])
@pytest.mark.parametrize("sides", [(0, 0, 0, 0), (14, 14, 20, 20), (30, 0, 0, 0), (0, 0, 0, 9)])
def test_a_plain_border_is_no_content(shade: int, sides: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = sides
    picture = np.asarray(Image.fromarray(PICTURES["cat"]()).convert("L").resize((220, 140)))
    framed = np.pad(picture, ((top, bottom), (left, right)), constant_values=shade)
    found = content_box(framed)
    expected = (top, framed.shape[0] - bottom, left, framed.shape[1] - right)
    assert all(abs(a - b) <= 1 for a, b in zip(found, expected, strict=True))


def test_a_plain_sky_is_no_border() -> None:
    sky = np.tile(np.linspace(200, 90, 150).astype(np.uint8)[:, None], (1, 200))
    assert content_box(sky) == (0, 150, 0, 200)


@pytest.mark.parametrize("picture", [np.zeros((60, 80), np.uint8), np.full((1, 1), 9, np.uint8)])
def test_where_there_are_no_details_there_are_no_points(picture: np.ndarray) -> None:
    assert pack_keypoints(picture, MAX_KEYPOINTS, 384) == b""


def test_points_are_no_more_than_asked_for_in_every_part_of_the_picture_and_always_the_same() -> None:
    luma = np.asarray(Image.fromarray(PICTURES["coffee"]()).convert("L"))
    packed = pack_keypoints(luma, 100, 384)
    assert packed == pack_keypoints(luma, 100, 384)
    found = np.frombuffer(packed, KEYPOINT)
    assert 80 <= len(found) <= 100
    quarters = {(x > 128, y > 128) for x, y in zip(found["x"].tolist(), found["y"].tolist(), strict=True)}
    assert len(quarters) == 4


def test_a_signature_fills_its_columns_and_comes_out_the_same_again() -> None:
    picture = Image.fromarray(PICTURES["cat"]())
    first, second = compute_signature(sample_of(picture)), compute_signature(sample_of(picture))
    assert tuple(first) == COLUMNS
    assert first == second
    assert len(first["frame"]) == FRAME.itemsize
    assert len(first["points"]) % KEYPOINT.itemsize == 0
