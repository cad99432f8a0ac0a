"""The table of colours: every kind of file shows what the formulas say, or is refused by name."""

import functools
import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images import colour_rules
from million_ird.images.colour_rules import COLOUR_RULES, STEPS, ColourLayout, require_rule, rules_for
from million_ird.images.decode import decode, decode_thumbnail
from million_ird.images.header import read_header
from tests.million_ird.images import colour_files, other_files
from tests.million_ird.images.colour_files import ColourFile

SUFFIXES = {"png": "png", "tiff": "tif", "pnm": "pnm", "pam": "pam", "pbm": "pbm", "bmp": "bmp", "tga": "tga"}
SUFFIXES |= {"GIF": "gif", "JPEG": "jpg", "WEBP": "webp"}
DIMENSIONS = {
    "container": ("AVIF", "PNG", "TIFF"),
    "model": ("grey", "rgb", "palette", "cmyk", "lab", "ycbcr", "something else"),
    "bits": (1, 8, 12, 16, 32),
    "numbers": ("unsigned", "signed", "float"),
    "alpha": ("none", "straight", "premultiplied", "key"),
    "white_is_zero": (False, True),
    "space": ("none", "srgb", "icc", "broken", "gamma", "cicp", "hdr", "unknown"),
}


@functools.cache
def files(kind: str) -> tuple[ColourFile, ...]:
    module = colour_files if kind in {"png", "tiff"} else other_files
    return tuple(getattr(module, f"{kind}_files")())


KINDS = pytest.mark.parametrize("kind", ["png", "tiff", "pnm", "bmp", "tga", "ico", "coded"])


@KINDS
def test_every_file_shows_what_the_formulas_say_or_is_refused(kind: str) -> None:
    faults = [fault for file in files(kind) if (fault := fault_of(file))]
    assert not faults
    assert len({file.name for file in files(kind)}) == len(files(kind)) >= 6


def fault_of(file: ColourFile) -> str | None:
    """Return what is wrong about the decoding of a file."""
    try:
        header = read_header(file.encoded)
        pixels = decode(file.encoded, header)
    except ReadError as error:
        if file.expected is not None:
            return f"{file.name}: {error}"
        right = error.failure_class == "unsupported" and re.search(file.refusal, error.detail)
        return None if right else f"{file.name}: {error}"
    if file.expected is None:
        return f"{file.name} was not refused"
    difference = float(np.abs(pixels - file.expected).max())
    if difference > file.tolerance or (file.icc is not None and header.icc != file.icc):
        return f"{file.name}: {difference:.2f} levels off, icc {header.icc}"
    small = decode_thumbnail(file.encoded, header)
    return None if np.array_equal(small, pixels) else f"{file.name}: its thumbnail is another picture"


def test_imagemagick_agrees(tmp_path: Path) -> None:
    if shutil.which("mogrify") is None:
        pytest.skip("ImageMagick is not installed")
    judged = [file for kind in ("png", "tiff", "pnm", "bmp", "tga", "coded") for file in files(kind) if file.judged]
    assert len(judged) > 120
    paths = [tmp_path / f"{n:04d}.{SUFFIXES[file.name.split('-')[0]]}" for n, file in enumerate(judged)]
    for path, file in zip(paths, judged, strict=True):
        path.write_bytes(file.encoded)
    options = "-auto-orient -background white -alpha remove -alpha off -colorspace sRGB -type TrueColor -depth 8"
    subprocess.run(["mogrify", "-format", "ppm", *options.split(), *map(str, paths)], capture_output=True, check=False)
    for path, file in zip(paths, judged, strict=True):
        theirs = np.asarray(Image.open(path.with_suffix(".ppm")).convert("RGB"))
        assert np.abs(theirs - file.expected).max() <= (3 if file.name.startswith("JPEG") else 1.3), file.name


def test_every_layout_has_one_answer_and_every_row_is_an_answer() -> None:
    answers = set()
    for values in itertools.product(*DIMENSIONS.values()):
        layout = ColourLayout(**dict(zip(DIMENSIONS, values, strict=True)))
        rules = rules_for(layout)
        assert [rule.step for rule in rules] == list(STEPS)
        answers.update(map(id, rules))
    assert [rule.when for rule in COLOUR_RULES if id(rule) not in answers] == []


def test_a_refusal_says_what_the_file_is() -> None:
    layout = ColourLayout(container="TIFF", model="lab", bits=16, alpha="premultiplied")
    with pytest.raises(
        ReadError, match=r"^unsupported: a TIFF of 16-bit Lab with premultiplied alpha \(alpha: any other"
    ):
        require_rule(layout)


def test_what_the_table_refuses_it_says_so() -> None:
    for rule in COLOUR_RULES:
        assert rule.refused == rule.happens.startswith("`unsupported`"), rule.when


def test_the_table_stands_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()
    assert colour_rules.as_markdown() in page
