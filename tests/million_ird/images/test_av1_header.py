"""Quantizers of AVIF equal those that FFmpeg's reader of headers tells; broken headers have none."""

import base64
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from million_ird.images.av1_header import read_quantizer
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.header import avif_quality, quality_of_coding
from tests.million_ird.images.encoded_images import encode_image, wave_image
from tests.million_ird.images.psnr_of_luma import psnr
from tests.million_ird.measures.sample_images import BUNDLED

SCENE = Image.open(BUNDLED / "coffee.png").convert("RGB")
TOOLS = pytest.mark.skipif(
    shutil.which("avifenc") is None or shutil.which("ffmpeg") is None, reason="avifenc or ffmpeg is not installed"
)
HEADERS = {
    "avifenc --min 30 --max 40 --tilerowslog2 1 --tilecolslog2 1": (
        140,
        "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADybWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxp"
        "YmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABGgAAU8YAAAAoaWluZgAAAAAAAQAAABppbmZlAgAAAAAB"
        "AABhdjAxQ29sb3IAAAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAAoAAAAIAAAAAEHBpeGkAAAAAAwgICAAAAAxhdjFDgSQAAAAA"
        "ABNjb2xybmNseAABAA0ABoAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAU85tZGF0EgAKCjkmJ///CAhoNIAytKcBGpjA",
    ),
    "avifenc --grid 2x2 -d 10": (
        80,
        "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAAHhbWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxp"
        "YmF2aWYAAAAADnBpdG0AAAAAAAEAAABWaWxvYwAAAABEAAAFAAEAAAABAAACCQAAAAgAAgAAAAEAAAIRAAAx/gADAAAAAQAANA8AACX2"
        "AAQAAAABAABaBQAAP7kABQAAAAEAAJm+AABFjwAAAJBpaW5mAAAAAAAFAAAAGmluZmUCAAAAAAEAAGdyaWRDb2xvcgAAAAAaaW5mZQIA"
        "AAEAAgAAYXYwMUNvbG9yAAAAABppbmZlAgAAAQADAABhdjAxQ29sb3IAAAAAGmluZmUCAAABAAQAAGF2MDFDb2xvcgAAAAAaaW5mZQIA"
        "AAEABQAAYXYwMUNvbG9yAAAAACBpcmVmAAAAAAAAABRkaW1nAAEABAACAAMABAAFAAAAmWlwcnAAAABfaXBjbwAAABRpc3BlAAAAAAAA"
        "AoAAAAIAAAAAEHBpeGkAAAAAAwoKCgAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAAFAAAABAAAAAAxhdjFDgSBAAAAAADJp"
        "cG1hAAAAAAAAAAUAAQMBAgMAAgQEAoUDAAMEBAKFAwAEBAQChQMABQQEAoUDAADdTG1kYXQAAAEBAoACABIACgk4Ief/7GAhoNIy7mMR"
        "QA==",
    ),
    "avifenc --codec rav1e -y 444": (
        188,
        "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADybWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxp"
        "YmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABGgAAGXwAAAAoaWluZgAAAAAAAQAAABppbmZlAgAAAAAB"
        "AABhdjAxQ29sb3IAAAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAAoAAAAIAAAAAEHBpeGkAAAAAAwgICAAAAAxhdjFDgT8AAAAA"
        "ABNjb2xybmNseAABAA0ABoAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAGYRtZGF0EgAKCj/mJ//5aAhoNoAy6zJkvA==",
    ),
    "ffmpeg -still-picture 0 -crf 40": (
        160,
        "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAAD5bWV0YQAAAAAAAAAvaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAFBp"
        "Y3R1cmVIYW5kbGVyAAAAAA5waXRtAAAAAAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAASEAACLCAAAAKGlpbmYAAAAAAAEAAAAaaW5m"
        "ZQIAAAAAAQAAYXYwMUNvbG9yAAAAAGppcHJwAAAAS2lwY28AAAAUaXNwZQAAAAAAAAKAAAACAAAAABBwaXhpAAAAAAMICAgAAAAMYXYx"
        "Q4EEDAAAAAATY29scm5jbHgAAgACAAIAAAAAF2lwbWEAAAAAAAAAAQABBAECgwQAACLKbWRhdAoLAAAAJMT//za+QBAyskUQAJQA",
    ),
    "avifenc -y 400": (
        32,
        "AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAPBtZXRhAAAAAAAAAChoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAbGliYXZp"
        "ZgAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAEUAAD+LgAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2"
        "MDFDb2xvcgAAAABoaXBycAAAAElpcGNvAAAAFGlzcGUAAAAAAAACgAAAAgAAAAAOcGl4aQAAAAABCAAAAAxhdjFDgQQcAAAAABNjb2xy"
        "bmNseAABAA0ABoAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAA/jZtZGF0EgAKChkmJ///DAQ0GoAynPwDEIA=",
    ),
    "avifenc -a sb-size=128": (
        200,
        "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADybWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxp"
        "YmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABGgAACnkAAAAoaWluZgAAAAAAAQAAABppbmZlAgAAAAAB"
        "AABhdjAxQ29sb3IAAAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAAHgAAABkAAAAEHBpeGkAAAAAAwgICAAAAAxhdjFDgSAAAAAA"
        "ABNjb2xybmNseAABAA0ABoAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAACoFtZGF0EgAKCTgZu+PhAQ0GkDLpFByA",
    ),
}
"""Beginnings of files that avifenc 0.11.1 and FFmpeg 5.1 wrote with these options, and the `base_q_idx` that
`ffmpeg -bsf:v trace_headers` tells; of the grid, which it does not read, that of `--min 20 --max 20`."""


@pytest.mark.parametrize("options", HEADERS)
def test_the_quantizer_is_the_one_that_ffmpeg_told(options: str) -> None:
    quantizer, start = HEADERS[options]
    encoded = base64.b64decode(start)
    assert read_quantizer(encoded) == quantizer
    assert avif_quality(encoded) == pytest.approx(100 * (1 - quantizer / 255))
    assert all(read_quantizer(encoded[:length]) is None for length in range(len(encoded)))


def test_the_finer_the_higher() -> None:
    numbers = [avif_quality(encode_image(SCENE, "AVIF", quality=quality, speed=10)) for quality in range(0, 101, 10)]
    known = [number for number in numbers if number is not None]
    assert len(known) == len(numbers)
    assert known == sorted(known)
    assert (known[4], known[6], known[10]) == pytest.approx((33, 53, 100), abs=3)


def test_alpha_metadata_size_and_animations_do_not_matter() -> None:
    plain = avif_quality(encode_image(SCENE, "AVIF", quality=40, speed=10))
    assert plain is not None
    with_alpha = SCENE.copy()
    with_alpha.putalpha(Image.linear_gradient("L").resize(SCENE.size))
    assert avif_quality(encode_image(with_alpha, "AVIF", quality=40, speed=10)) == pytest.approx(plain, abs=3)
    exif = Image.Exif()
    exif[271] = "a maker"
    assert avif_quality(encode_image(SCENE, "AVIF", quality=40, speed=10, exif=exif.tobytes())) == plain
    for size in ((64, 48), (641, 479), (2100, 900), (4500, 300)):
        resized = encode_image(SCENE.resize(size), "AVIF", quality=40, speed=10, autotiling=True)
        assert avif_quality(resized) == pytest.approx(plain, abs=3), size
    frames = [SCENE.rotate(9), SCENE.rotate(18)]
    animation = encode_image(SCENE, "AVIF", quality=40, speed=10, save_all=True, append_images=frames)
    assert avif_quality(animation) == pytest.approx(plain, abs=20)  # its first frame is coded finer than the rest


def test_other_files_have_none() -> None:
    heic = base64.b64decode(HEADERS["avifenc -y 400"][1]).replace(b"avif", b"heic")
    for encoded in (
        b"",
        b"\0\0\0\x20ftyp",
        heic,
        encode_image(wave_image(), "PNG"),
        encode_image(wave_image(), "WEBP"),
    ):
        assert read_quantizer(encoded) is None
        assert avif_quality(encoded) is None


@settings(max_examples=300)
@given(
    which=st.sampled_from(sorted(HEADERS)),
    edits=st.lists(st.tuples(st.integers(0, 546), st.integers(0, 255)), max_size=6),
    length=st.integers(0, 600),
)
def test_broken_headers_raise_nothing(which: str, edits: list[tuple[int, int]], length: int) -> None:
    content = bytearray(base64.b64decode(HEADERS[which][1]))
    for place, value in edits:
        content[place % len(content)] = value
    found = read_quantizer(bytes(content[:length]))
    assert found is None or 0 <= found <= 255


@pytest.mark.parametrize(
    ("form", "saved"), [*product(("AVIF",), (35, 44, 60, 75, 90)), *product(("WEBP",), (30, 75, 90))]
)
def test_a_jpeg_of_the_quality_of_coding_is_about_as_far_from_the_original(form: str, saved: int) -> None:
    for name in ("coffee.png", "chelsea.png", "astronaut.png"):
        image = Image.open(BUNDLED / name).convert("RGB")
        encoded = encode_image(image, form, quality=saved)
        equal = round(quality_of_coding(EncodedImage(encoded)))
        assert psnr(image, encoded) == pytest.approx(psnr(image, encode_image(image, "JPEG", quality=equal)), abs=2), (
            name
        )


def test_other_formats_have_the_best_quality_of_coding() -> None:
    for form, options in (("PNG", {}), ("JPEG", {"quality": 30}), ("WEBP", {"lossless": True})):
        assert quality_of_coding(EncodedImage(encode_image(SCENE, form, **options))) == 100


@TOOLS
@pytest.mark.parametrize(
    "options",
    [
        ("--min", "5", "--max", "5"),
        ("--min", "40", "--max", "40", "--tilerowslog2", "2", "--tilecolslog2", "3"),
        ("--min", "60", "--max", "60", "-d", "12", "-y", "444"),
        ("--min", "30", "--max", "30", "-a", "sb-size=64", "-a", "aq-mode=1"),
        ("--lossless",),
    ],
    ids=" ".join,
)
def test_ffmpeg_agrees(options: tuple[str, ...], tmp_path: Path) -> None:
    source, coded = tmp_path / "scene.png", tmp_path / "scene.avif"
    SCENE.resize((4100, 520)).save(source)
    subprocess.run(["avifenc", "-s", "10", *options, source, coded], check=True, capture_output=True)
    command = ["ffmpeg", "-i", str(coded), "-map", "0:v:0", "-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    found = re.search(r"base_q_idx\s+\d+ = (\d+)", told)
    assert found is not None
    assert read_quantizer(coded.read_bytes()) == int(found[1])
