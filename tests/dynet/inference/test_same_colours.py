"""What the table of docs/sources.md reads, `dynet restore` reads with the same colours, from the same generated files.

The two packages do not import each other. They differ in two things on purpose: million_ird converts a colour space to
sRGB, and dynet carries its description over; million_ird refuses floating-point samples outside of [0, 1], and dynet
keeps their range. So files with a colour space are only read here, and tests of their metadata are elsewhere.
"""

from pathlib import Path

import numpy as np
import pytest

from dynet.errors import ImageError
from dynet.inference.decoded_image import DecodedImage, opaque_value
from dynet.inference.images import read_file, read_size
from tests.million_ird.images import colour_files, other_files

COLOUR_SPACE_CHUNKS = (b"gAMA", b"cHRM", b"iCCP", b"cICP")
KEPT = ("-wide", "AVIF-pq", "AVIF-hlg", "AVIF-unknown", "cicp", "-pq", "-hlg")
"""Parts of the names of files that million_ird refuses for what dynet keeps: range, or an unusual colour space."""
NOT_READ = {"bmp-palette-2", "AVIF-clap"}
"""Refused in one line by dynet alone."""
OTHERWISE = {
    "tiff-cmyk-16": "rounded to 8 bits before it is converted",
    "ico-32-mask-alone": "Pillow does not use the mask of an icon of 32 bits",
    "ico-png-16": "of a PNG of 16 bits in an icon, 8 are read",
}
LOSSY = ("JPEG", "AVIF", "WEBP")


def over_white(image: DecodedImage) -> np.ndarray:
    """Return (H, W, 3) of 0 to 255."""
    rgb = image.as_rgb().astype(np.float64) * 255
    if image.alpha is None:
        return rgb
    cover = (image.alpha / opaque_value(image.alpha.dtype))[..., None]
    return rgb * cover + 255 * (1 - cover)


def has_colour_space(image: DecodedImage) -> bool:
    return bool({"icc_profile", "cicp"} & image.metadata.keys()) or any(
        chunk in image.png_chunks for chunk in COLOUR_SPACE_CHUNKS
    )


@pytest.mark.parametrize("kind", ["png", "tiff", "pnm", "bmp", "tga", "ico", "coded"])
def test_the_same_files_show_the_same_colours_or_are_refused(tmp_path: Path, kind: str) -> None:
    module = colour_files if kind in ("png", "tiff") else other_files
    path, faults, compared = tmp_path / f"a.{kind}", [], 0
    for file in getattr(module, f"{kind}_files")():
        path.write_bytes(file.encoded)
        try:
            image = read_file(path).images[0]
        except ImageError as error:
            if file.expected is not None and file.name not in NOT_READ:
                faults.append(str(error).replace(str(path), file.name))
            continue
        if file.expected is None:
            if not any(part in file.name for part in KEPT):
                faults.append(f"{file.name} is read, and not refused")
        elif not has_colour_space(image) and file.name not in OTHERWISE:
            limit = 3.1 if file.name.startswith(LOSSY) else 1.0
            assert image.colour.shape[:2] == read_size(path)[::-1]
            difference = np.abs(over_white(image) - file.expected).max()
            compared += 1
            if difference > limit:
                faults.append(f"{file.name} differs by {difference:.1f}")
    assert not faults
    assert compared > 3
