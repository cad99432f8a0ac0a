"""Quantizers of lossy WebP equal those that libwebp's own tool reads; broken headers have none."""

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from million_ird.images.vp8_header import read_quantizers
from million_ird.measures.header import webp_quality
from tests.million_ird.images.encoded_images import encode_image, wave_image
from tests.million_ird.images.psnr_of_luma import psnr
from tests.million_ird.measures.sample_images import BUNDLED

SCENE = Image.open(BUNDLED / "coffee.png").convert("RGB")
WEBP = encode_image(SCENE.resize((96, 64)), "WEBP", quality=50)
TOOLS = pytest.mark.skipif(shutil.which("cwebp") is None, reason="libwebp's tools are not installed")


@pytest.mark.parametrize(
    ("saved", "low", "high"), [(0, 0, 0), (10, 3, 14), (30, 18, 36), (50, 36, 56), (75, 61, 77), (90, 87, 92)]
)
@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png", "rocket.jpg"])
def test_the_number_tells_how_a_file_was_saved(name: str, saved: int, low: int, high: int) -> None:
    image = Image.open(BUNDLED / name).convert("RGB")
    for method in (0, 4, 6):
        quality = webp_quality(encode_image(image, "WEBP", quality=saved, method=method))
        assert quality is not None
        assert low <= quality <= high


def test_the_finer_the_higher() -> None:
    numbers = [webp_quality(encode_image(SCENE, "WEBP", quality=quality)) or 0 for quality in range(0, 101, 4)]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (0, 100)


def test_alpha_metadata_and_animations_do_not_matter() -> None:
    plain = webp_quality(encode_image(SCENE, "WEBP", quality=30))
    with_alpha = SCENE.copy()
    with_alpha.putalpha(Image.linear_gradient("L").resize(SCENE.size))
    assert webp_quality(encode_image(SCENE, "WEBP", quality=30, exif=b"Exif\0\0MM\0*" + bytes(99))) == plain
    assert webp_quality(encode_image(with_alpha, "WEBP", quality=30)) == pytest.approx(plain, abs=12)
    file = io.BytesIO()
    SCENE.save(file, "WEBP", save_all=True, append_images=[SCENE.rotate(9)], quality=30)
    assert webp_quality(file.getvalue()) == pytest.approx(plain, abs=10)


def test_other_files_have_none() -> None:
    for encoded in (b"", b"RIFF", encode_image(wave_image(), "PNG"), encode_image(wave_image(), "WEBP", lossless=True)):
        assert read_quantizers(encoded) is None
        assert webp_quality(encoded) is None


@settings(max_examples=300)
@given(edits=st.lists(st.tuples(st.integers(0, 89), st.integers(0, 255)), max_size=6), length=st.integers(0, 400))
def test_broken_headers_raise_nothing(edits: list[tuple[int, int]], length: int) -> None:
    content = bytearray(WEBP)
    for place, value in edits:
        content[place] = value
    found = read_quantizers(bytes(content[:length]))
    assert found is None or all(0 <= one <= 127 for one in found)


HEADERS = {
    (): (
        "524946465615000057454250565038204a1500009006019d012a580252013f1182b7552c28b728a87519eae02209672f",
        (68, 65, 55, 42),
    ),
    ("-sns", "0"): (
        "52494646f81700005745425056503820ec17000010fe009d012a580252013ed168b45a282abaaaa87519eb501a00cec5",
        (52, 52, 52, 52),
    ),
    ("-segments", "1"): (
        "524946461a17000057454250565038200e17000010e9009d012a580252010d406825a4bd0ebfcd684b9f5b07e55e5f1d",
        (52,),
    ),
}
"""Beginnings of files that `cwebp -q 30` 1.2.4 wrote with these options, and what `webpinfo -bitstream_info` says."""


@pytest.mark.parametrize("options", HEADERS, ids=str)
def test_the_quantizers_are_those_that_webpinfo_told(options: tuple[str, ...]) -> None:
    header, quantizers = HEADERS[options]
    assert read_quantizers(bytes.fromhex(header)) == quantizers


def test_webp_of_quality_30_is_about_as_far_from_the_original_as_jpeg_of_40() -> None:
    for name in ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg"):
        image = Image.open(BUNDLED / name).convert("RGB")
        webp, jpeg = (
            psnr(image, encode_image(image, form, quality=quality)) for form, quality in (("WEBP", 30), ("JPEG", 40))
        )
        assert webp == pytest.approx(jpeg, abs=1.5), name


@TOOLS
@pytest.mark.parametrize("options", [["-segments", "1"], ["-sns", "0"], [], ["-sns", "90", "-pass", "3"]], ids=str)
def test_libwebps_tools_agree(options: list[str], tmp_path: Path) -> None:
    source, coded = tmp_path / "scene.png", tmp_path / "scene.webp"
    SCENE.save(source)
    for quality in (1, 20, 40, 60, 80, 95):
        subprocess.run(["cwebp", "-quiet", "-q", str(quality), *options, source, "-o", coded], check=True)
        told = subprocess.run(["webpinfo", "-bitstream_info", coded], capture_output=True, text=True, check=True).stdout
        fields = {
            key.strip(): value.split() for key, value in (line.split(":") for line in told.splitlines() if ":" in line)
        }
        expected = fields["Quantizer"] if "Quantizer" in fields else fields["Base Q"]
        encoded = coded.read_bytes()
        assert read_quantizers(encoded) == tuple(map(int, expected))
        if options == ["-sns", "0"]:
            assert webp_quality(encoded) == pytest.approx(quality, abs=1)
