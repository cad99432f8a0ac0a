"""An input that has a result is found by its header, with the same message as when it is decoded."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from dynet.errors import ImageError
from dynet.inference import existing_results
from dynet.inference.encoding import FORMATS, Encoding
from dynet.inference.existing_results import claim_results, find_existing_results
from dynet.inference.file_encoding import file_suffix
from dynet.inference.images import read_file, write_file
from dynet.inference.inputs import OutputNaming, ReservedPaths, find_input_files

H, W = 9, 14
GREY = np.arange(H * W, dtype=np.uint8).reshape(H, W)
RGB = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])
OPAQUE, CLEAR = np.dstack([RGB, np.full_like(GREY, 255)]), np.dstack([RGB, GREY])
FRAMES = [Image.fromarray(np.roll(RGB, shift, 0)) for shift in range(3)]


def _pillow(samples: np.ndarray, **options: Any) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(samples).save(path, **options)


def _frames(**options: Any) -> Callable[[Path], None]:
    return lambda path: FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:], duration=40, **options)


def _tiff(samples: np.ndarray | Sequence[np.ndarray], **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, samples, **options)


def _bmp_with_alpha(samples: np.ndarray) -> Callable[[Path], object]:
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII4I", 108, W, -H, 1, 32, 3, 4 * H * W, 0, 0, 0, 0, *masks).ljust(108, b"\0")
    pixels = np.ascontiguousarray(samples[..., [2, 1, 0, 3]]).tobytes()
    start = 14 + len(header)
    encoded = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + pixels
    return lambda path: path.write_bytes(encoded)


BY_HEADER: dict[str, Callable[[Path], object]] = {
    "rgb.png": _pillow(RGB),
    "opaque.png": _pillow(OPAQUE),
    "clear.png": _pillow(CLEAR),
    "deep.png": _pillow(GREY.astype(np.uint16) * 257),
    "photo.jpg": _pillow(RGB),
    "grey.JPEG": _pillow(GREY),
    "really.jpg": _pillow(RGB, format="PNG"),
    "a.webp": _pillow(CLEAR, lossless=True),
    "a.bmp": _pillow(RGB),
    "a.avif": _pillow(RGB),
    "a.ppm": _pillow(RGB),
    "a.jp2": _pillow(RGB),
    "a.gif": _pillow(GREY),
    "moving.gif": _frames(),
    "moving.png": _frames(),
    "moving.webp": _frames(lossless=True),
    "a.tif": _tiff(RGB),
    "deep.tiff": _tiff(RGB.astype(np.uint16)),
    "float.tif": _tiff(RGB.astype(np.float32) / 255),
    "pages.tif": _tiff(np.stack([GREY, GREY]), photometric="minisblack"),
    "masks.bmp": _bmp_with_alpha(CLEAR),
    "solid.bmp": _bmp_with_alpha(OPAQUE),
}
"""Files whose headers say under which name their results are, if no `--format` is given."""
BY_SAMPLES: dict[str, Callable[[Path], object]] = {
    "a.tga": _pillow(CLEAR),
    "clear.tif": _tiff(CLEAR),
    "cut.jpg": lambda path: path.write_bytes(b"\xff\xd8"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of these files."""
    folder = tmp_path_factory.mktemp("in")
    for name, write in (BY_HEADER | BY_SAMPLES).items():
        write(folder / name)
    return folder


def _message_of_the_run(path: Path, out: Path, naming: OutputNaming) -> str | None:
    """Return what decoding the input and claiming its results raise, if anything exists."""
    (file,) = find_input_files([path], out, naming)
    try:
        suffix = file_suffix(read_file(path), naming.encoding, path.suffix)
    except ImageError:
        return None
    try:
        claim_results(file, suffix, naming, ReservedPaths([file], naming), overwrite=False)
    except ImageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", [*BY_HEADER, *BY_SAMPLES])
@pytest.mark.parametrize("variants", [("L",), ("S", "L")], ids="-".join)
@pytest.mark.parametrize("compare", [False, True])
def test_whatever_exists_the_message_is_that_of_the_run(
    name: str, variants: tuple[str, ...], compare: bool, folder: Path, tmp_path: Path
) -> None:
    path = folder / name
    for number, format in enumerate((None, *FORMATS)):
        naming = OutputNaming(encoding=Encoding(format), variants=variants, compare=compare)
        out = tmp_path / str(number)
        (file,) = find_input_files([path], out, naming)
        suffixes = Encoding().possible_suffixes(path.suffix)
        for existing in sorted({one for suffix in suffixes for one in naming.paths(file.target, suffix)}):
            existing.parent.mkdir(exist_ok=True)
            existing.touch()
            found = find_existing_results([file], naming)
            expected = _message_of_the_run(path, out, naming)
            assert (found[path].error if found else None) == expected, (existing, format)
            assert expected is None or str(existing) in expected
            existing.unlink()
        assert not find_existing_results([file], naming)


@pytest.mark.parametrize("name", BY_HEADER)
def test_a_header_is_enough(name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = find_input_files([folder / name], tmp_path)
    decoded = read_file(file.path)
    (result,) = OutputNaming().result_paths(file.target, file_suffix(decoded, Encoding(), file.path.suffix))
    write_file(result, decoded)

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr(existing_results, "read_file", refuse)
    monkeypatch.setattr(Image.Image, "load", refuse)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", refuse)
    found = find_existing_results([file], OutputNaming())
    assert found[file.path].error == f"{result} already exists; --overwrite replaces it"


def test_inputs_that_lead_to_one_result_get_the_messages_of_a_run(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("w.jpg", "w.png"):
        (tmp_path / "in" / name).write_bytes((folder / "rgb.png").read_bytes())
    out = tmp_path / "out"
    inputs = find_input_files([tmp_path / "in"], out)
    assert not find_existing_results(inputs, OutputNaming())
    out.mkdir()
    (out / "w.png").touch()
    first, second = find_existing_results(inputs, OutputNaming()).values()
    assert "w.png already exists" in first.error
    assert f"lead to the same result, {out / 'w.png'}, because of their content" in second.error
