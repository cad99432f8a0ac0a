"""Overlaps of crops that the test itself cuts."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from million_ird.dedup.overlap import (
    find_overlap,
    frame_correlation,
    mirror_descriptors,
    overlap_correlation,
    unpack_keypoints,
)
from million_ird.dedup.verification import Relation, Signature, match_signatures
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.signature import KEYPOINT, compute_signature, pack_frame, pack_keypoints

COFFEE = Image.fromarray(skimage.data.coffee())
CAT = Image.fromarray(skimage.data.chelsea())


def sign(image: Image.Image) -> tuple[Signature, bytes]:
    pixels = np.asarray(image)
    packed = pack_keypoints(np.asarray(image.convert("L")), 192, 384)
    return Signature.from_columns(pack_frame(pixels), packed, image.width, image.height), packed


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


@pytest.mark.parametrize("box", [(0.1, 0.0, 0.9, 0.8), (0.0, 0.3, 0.6, 0.9), (0.45, 0.45, 1.0, 1.0)])
def test_a_crop_is_found_where_it_was_cut(box: tuple[float, float, float, float]) -> None:
    (_, whole), (_, part) = sign(COFFEE), sign(crop(COFFEE, *box))
    overlap = find_overlap(unpack_keypoints(whole), unpack_keypoints(part))
    assert overlap is not None
    assert overlap.box == pytest.approx(box, abs=0.03)
    assert overlap.share == pytest.approx((box[2] - box[0]) * (box[3] - box[1]), abs=0.05)
    assert overlap.share_of_other > 0.93
    assert (
        overlap_correlation(pack_frame(np.asarray(COFFEE)), pack_frame(np.asarray(crop(COFFEE, *box))), overlap) > 0.9
    )


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_a_crop_is_found_mirrored_and_turned(turn: Image.Transpose) -> None:
    cut = crop(COFFEE, 0.1, 0.1, 0.8, 0.9).transpose(turn)
    whole, part = sign(COFFEE)[0], sign(cut)[0]
    match = match_signatures(whole, part)
    assert match is not None
    assert match.relation is Relation.COPY
    assert match_signatures(whole, part, turned=False) is None


def test_mirrored_descriptors_match_those_of_the_mirrored_image() -> None:
    luma = np.asarray(CAT.convert("L").resize((384, 256)))
    plain, other = (
        unpack_keypoints(pack_keypoints(grey, 150, 384)) for grey in (luma, np.ascontiguousarray(luma[:, ::-1]))
    )
    turned, theirs = mirror_descriptors(plain["bits"].astype(np.uint64)), other["bits"].astype(np.uint64)
    nearest = np.bitwise_count(turned[:, None] ^ theirs[None]).sum(axis=2).min(axis=1)
    unturned = np.bitwise_count(plain["bits"].astype(np.uint64)[:, None] ^ theirs[None]).sum(axis=2).min(axis=1)
    assert np.median(nearest) <= 4
    assert np.median(unturned) > 25
    assert (mirror_descriptors(turned) == plain["bits"]).all()


def test_unrelated_images_do_not_overlap() -> None:
    images = [COFFEE, CAT, Image.fromarray(skimage.data.astronaut()), Image.fromarray(skimage.data.rocket())]
    signatures = [sign(image)[0] for image in images]
    for i, first in enumerate(signatures):
        for other in signatures[:i]:
            assert match_signatures(first, other) is None
            assert frame_correlation(first.frame or b"", other.frame or b"") < 0.7


@pytest.mark.parametrize(
    ("box", "relation"),
    [
        ((0.0, 0.0, 1.0, 0.8), Relation.COPY),
        ((0.1, 0.1, 0.9, 0.9), Relation.COPY),
        ((0.2, 0.2, 0.75, 0.75), Relation.PART),
    ],
)
def test_a_large_crop_is_a_copy_and_a_small_crop_is_a_part(
    box: tuple[float, float, float, float], relation: Relation
) -> None:
    match = match_signatures(sign(COFFEE)[0], sign(crop(COFFEE, *box))[0])
    assert match is not None
    assert match.relation is relation


def test_two_crops_that_share_a_stripe_are_parts() -> None:
    match = match_signatures(sign(crop(COFFEE, 0, 0, 0.7, 1))[0], sign(crop(COFFEE, 0.3, 0, 1, 1))[0])
    assert match is not None
    assert match.relation is Relation.PART


def test_without_frames_more_keypoints_must_agree() -> None:
    whole, part = sign(COFFEE)[0], sign(crop(COFFEE, 0.05, 0.05, 1, 1))[0]
    bare = Signature(None, part.keypoints, part.aspect)
    match = match_signatures(whole, bare)
    assert match is not None
    assert np.isnan(match.correlation)
    few = Signature(None, part.keypoints[:5], part.aspect)
    assert match_signatures(Signature(None, whole.keypoints[:5], whole.aspect), few) is None


def test_an_image_without_keypoints_or_frame_matches_nothing() -> None:
    nothing = Signature(None, np.empty(0, KEYPOINT), 1.0)
    plain = sign(Image.new("RGB", (90, 70), (200, 0, 0)))[0]
    for other in (nothing, plain, sign(CAT)[0]):
        assert match_signatures(nothing, other) is None
    assert match_signatures(plain, sign(CAT)[0]) is None


def test_other_clothes_in_one_pose_are_no_copies(shared_data: Path) -> None:
    """Of 780 pairs only the two colours of one garment, which are one photograph, are copies."""
    files = sorted((shared_data / "negatives" / "products").glob("*.jpg"))
    signatures = {}
    for file in files:
        image = EncodedImage(file.read_bytes())
        columns = compute_signature(image)
        sizes = image.header.width, image.header.height
        name = file.stem.removesuffix("_main")
        signatures[name] = Signature.from_columns(columns["frame"], columns["points"], *sizes)
    found = {
        names: match.relation
        for names in itertools.combinations(signatures, 2)
        if (match := match_signatures(*(signatures[name] for name in names))) is not None
    }
    assert len(signatures) == 40
    assert {names for names, relation in found.items() if relation is Relation.COPY} == {("mj11-black", "mj11-red")}
    assert len(found) > 5  # of these the shares decide
