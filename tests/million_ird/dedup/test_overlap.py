"""Overlaps that are known because they were made."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from million_ird.dedup.overlap import find_overlap, likeness, likeness_within, mirrored, unpacked
from million_ird.dedup.verification import Relation, Signature, compare
from million_ird.measures.signature import POINT, frame, points

COFFEE = Image.fromarray(skimage.data.coffee())
CAT = Image.fromarray(skimage.data.chelsea())


def signed(picture: Image.Image) -> tuple[Signature, bytes]:
    pixels = np.asarray(picture)
    packed = points(np.asarray(picture.convert("L")), 192, 384)
    return Signature.of(frame(pixels), packed, picture.width, picture.height), packed


def boxed(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = picture.size
    return picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


@pytest.mark.parametrize("box", [(0.1, 0.0, 0.9, 0.8), (0.0, 0.3, 0.6, 0.9), (0.45, 0.45, 1.0, 1.0)])
def test_a_crop_is_found_where_it_was_cut(box: tuple[float, float, float, float]) -> None:
    (_, whole), (_, part) = signed(COFFEE), signed(boxed(COFFEE, *box))
    found = find_overlap(unpacked(whole), unpacked(part))
    assert found is not None
    assert found.box == pytest.approx(box, abs=0.03)
    assert found.share == pytest.approx((box[2] - box[0]) * (box[3] - box[1]), abs=0.05)
    assert found.share_of_other > 0.93
    assert likeness_within(frame(np.asarray(COFFEE)), frame(np.asarray(boxed(COFFEE, *box))), found) > 0.9


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_a_crop_is_found_mirrored_and_turned(turn: Image.Transpose) -> None:
    cut = boxed(COFFEE, 0.1, 0.1, 0.8, 0.9).transpose(turn)
    whole, part = signed(COFFEE)[0], signed(cut)[0]
    match = compare(whole, part)
    assert match is not None
    assert match.relation is Relation.COPY
    assert compare(whole, part, turned=False) is None


def test_descriptors_in_a_mirror_are_those_of_the_mirrored_picture() -> None:
    luma = np.asarray(CAT.convert("L").resize((384, 256)))
    plain, other = (unpacked(points(one, 150, 384)) for one in (luma, np.ascontiguousarray(luma[:, ::-1])))
    turned, theirs = mirrored(plain["bits"].astype(np.uint64)), other["bits"].astype(np.uint64)
    nearest = np.bitwise_count(turned[:, None] ^ theirs[None]).sum(axis=2).min(axis=1)
    unturned = np.bitwise_count(plain["bits"].astype(np.uint64)[:, None] ^ theirs[None]).sum(axis=2).min(axis=1)
    assert np.median(nearest) <= 4
    assert np.median(unturned) > 25
    assert (mirrored(turned) == plain["bits"]).all()


def test_pictures_of_other_things_do_not_overlap() -> None:
    pictures = [COFFEE, CAT, Image.fromarray(skimage.data.astronaut()), Image.fromarray(skimage.data.rocket())]
    signatures = [signed(picture)[0] for picture in pictures]
    for i, one in enumerate(signatures):
        for other in signatures[:i]:
            assert compare(one, other) is None
            assert likeness(one.frame or b"", other.frame or b"") < 0.7


@pytest.mark.parametrize(
    ("box", "relation"),
    [
        ((0.0, 0.0, 1.0, 0.8), Relation.COPY),
        ((0.1, 0.1, 0.9, 0.9), Relation.COPY),
        ((0.2, 0.2, 0.75, 0.75), Relation.PART),
    ],
)
def test_a_crop_that_shows_most_is_a_copy_and_one_that_shows_less_a_part(
    box: tuple[float, float, float, float], relation: Relation
) -> None:
    match = compare(signed(COFFEE)[0], signed(boxed(COFFEE, *box))[0])
    assert match is not None
    assert match.relation is relation


def test_two_halves_that_share_a_stripe_are_parts_of_each_other() -> None:
    match = compare(signed(boxed(COFFEE, 0, 0, 0.7, 1))[0], signed(boxed(COFFEE, 0.3, 0, 1, 1))[0])
    assert match is not None
    assert match.relation is Relation.PART


def test_without_frames_many_points_must_agree() -> None:
    whole, part = signed(COFFEE)[0], signed(boxed(COFFEE, 0.05, 0.05, 1, 1))[0]
    bare = Signature(None, part.points, part.aspect)
    found = compare(whole, bare)
    assert found is not None
    assert found.likeness != found.likeness
    few = Signature(None, part.points[:5], part.aspect)
    assert compare(Signature(None, whole.points[:5], whole.aspect), few) is None


def test_pictures_without_points_or_frames_are_like_nothing() -> None:
    nothing = Signature(None, np.empty(0, POINT), 1.0)
    plain = signed(Image.new("RGB", (90, 70), (200, 0, 0)))[0]
    for one in (nothing, plain, signed(CAT)[0]):
        assert compare(nothing, one) is None
    assert compare(plain, signed(CAT)[0]) is None
