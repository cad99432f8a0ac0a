"""Animations come back frame by frame, as browsers show them, with their timing and the number of plays."""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dynet import DyNet
from dynet.errors import ImageError
from dynet.inference.decoded_image import AnimationTiming, DecodedFile, DecodedImage
from dynet.inference.encoding import Encoding
from dynet.inference.images import read_file, read_image, write_file

Command = Callable[..., tuple[int, str, str]]
HEIGHT, WIDTH = 9, 13
DURATIONS = (20, 100, 1230, 40, 0)
"""Of the frames, in milliseconds."""


def colours(seed: int, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shape = (HEIGHT, WIDTH, channels) if channels > 1 else (HEIGHT, WIDTH)
    return generator.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def shown(path: Path) -> tuple[list[np.ndarray], list[float], int]:
    """Return the frames as RGBA, their durations in milliseconds, and the plays, as Pillow reads them."""
    frames, durations = [], []
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(np.array(image.convert("RGBA")))
            durations.append(image.info.get("duration", 0))
        return frames, durations, image.info.get("loop", 0)


def visible(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return RGBA frames with one colour where they are transparent."""
    stack = np.stack(frames).copy()
    stack[stack[..., 3] == 0] = 0
    return stack


@pytest.fixture
def restored(tiny: DyNet, tmp_path: Path, dynet_command: Command) -> Callable[..., Path]:
    """Restores a file by a network that changes nothing; returns the result."""
    torch.nn.init.zeros_(tiny.output.weight)
    tiny.save(tmp_path / "identity.safetensors")

    def run(path: Path, *options: str) -> Path:
        arguments = ("--out", tmp_path / "out", "--weights", tmp_path / "identity.safetensors", "--precision", "fp32")
        code, out, err = dynet_command("restore", path, *arguments, *options, "--overwrite", "--device", "cpu")
        assert code == 0, err
        return Path(out.split("  ")[0])

    return run


@pytest.mark.parametrize("transparent", [False, True], ids=["opaque", "transparent"])
@pytest.mark.parametrize(("loop", "plays"), [(None, 1), (0, 0), (2, 3)], ids=str)
def test_a_gif_becomes_an_apng(
    tmp_path: Path, restored: Callable[..., Path], transparent: bool, loop: int | None, plays: int
) -> None:
    frames = [Image.fromarray(colours(seed)).quantize(40) for seed in range(5)]
    options = {"transparency": 3, "disposal": 2} if transparent else {}
    more = {} if loop is None else {"loop": loop}
    frames[0].save(
        tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=list(DURATIONS), **more, **options
    )
    expected, durations, _ = shown(tmp_path / "a.gif")
    assert durations == list(DURATIONS)
    result = restored(tmp_path / "a.gif")
    assert result.name == "a.png"
    got, durations, times = shown(result)
    assert np.array_equal(visible(got), visible(expected))
    assert durations == list(DURATIONS)
    assert times == plays
    assert transparent == (visible(got)[..., 3] == 0).any()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
@pytest.mark.parametrize("plays", [5, *(pytest.param(plays, marks=pytest.mark.full) for plays in (0, 1))])
def test_an_apng_stays_one(tmp_path: Path, restored: Callable[..., Path], mode: str, plays: int) -> None:
    rgba = [Image.fromarray(colours(seed, 4)) for seed in range(5)]
    frames = [frame.convert("RGB").quantize(50) if mode == "P" else frame.convert(mode) for frame in rgba]
    if mode == "P":
        frames = [frame.remap_palette(range(50)) for frame in frames]
        frames = [frames[0], *(Image.fromarray(np.array(frame), "P") for frame in frames[1:])]
        for frame in frames[1:]:
            frame.putpalette(frames[0].getpalette())
    frames[0].save(
        tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=list(DURATIONS), loop=plays, blend=0
    )
    expected, durations, _ = shown(tmp_path / "a.png")
    got, again, times = shown(restored(tmp_path / "a.png"))
    assert np.array_equal(visible(got), visible(expected))
    assert again == pytest.approx(durations)
    assert times == plays


@pytest.mark.parametrize("channels", [3, 4], ids=["opaque", "transparent"])
@pytest.mark.parametrize("plays", [0, 1, 5])
def test_an_animated_webp_stays_one(tmp_path: Path, restored: Callable[..., Path], channels: int, plays: int) -> None:
    frames = [Image.fromarray(colours(seed, channels)) for seed in range(5)]
    durations = [20, 100, 1230, 40, 70]
    options = {"lossless": True, "exact": True, "loop": plays, "duration": durations}
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], **options)
    expected, _, _ = shown(tmp_path / "a.webp")
    result = restored(tmp_path / "a.webp")
    assert result.suffix == ".webp"
    got, _, times = shown(result)
    assert np.array_equal(visible(got), visible(expected))
    assert [float(1000 * duration) for duration in read_file(result).timing.durations] == durations
    assert times == plays


def test_a_sequence_of_avif_stays_one(tmp_path: Path, restored: Callable[..., Path]) -> None:
    frames = [Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (20, 120, 220)]
    frames[0].save(tmp_path / "a.avif", save_all=True, append_images=frames[1:], duration=[100, 200, 300], quality=100)
    got, durations, _ = shown(restored(tmp_path / "a.avif"))
    assert durations == [100, 200, 300]
    assert [round(float(frame[..., :3].mean()), -1) for frame in got] == [20, 120, 220]


@pytest.mark.parametrize(("source", "target"), [("gif", "webp"), ("gif", "png"), ("webp", "png"), ("png", "webp")])
def test_animations_are_converted_with_their_timing(
    tmp_path: Path, restored: Callable[..., Path], source: str, target: str
) -> None:
    frames = [Image.fromarray(colours(seed)).quantize(40).convert("RGB") for seed in range(4)]
    lossless = {"lossless": True} if source == "webp" else {}
    path, durations = tmp_path / f"a.{source}", [20, 100, 1230, 70]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, **lossless)
    expected, _, _ = shown(path)
    result = restored(path, "--format", target)
    got, _, plays = shown(result)
    assert np.array_equal(visible(got), visible(expected))
    assert [float(1000 * duration) for duration in read_file(result).timing.durations] == durations
    assert plays == 0


@pytest.mark.parametrize("target", ["jpeg", "bmp", "tiff"])
def test_a_format_without_timing_is_refused_with_the_option_that_keeps_it(
    tmp_path: Path, tiny_weights: Path, dynet_command: Command, target: str
) -> None:
    frames = [Image.fromarray(colours(seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=40)
    arguments = ("--out", tmp_path / "out", "--weights", tiny_weights, "--format", target)
    code, out, err = dynet_command("restore", tmp_path / "a.png", *arguments)
    assert (code, out) == (1, "")
    assert f"a.png: has 3 frames, whose timing {target.upper()} does not store; use --format png, webp or avif" in err


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _apng(frames: Sequence[tuple[np.ndarray, int, int, tuple[int, int], int, int]], hidden: bool = False) -> bytes:
    """Write an APNG by its specification: (samples, left, top, delay, disposal, blending) of each frame."""
    dtype, channels = frames[0][0].dtype, frames[0][0].shape[2]
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8 * dtype.itemsize, {3: 2, 4: 6}[channels], 0, 0, 0)
    parts = [_chunk(b"IHDR", header), _chunk(b"acTL", struct.pack(">II", len(frames), 7))]
    if hidden:
        parts.append(_chunk(b"IDAT", _pixels(np.zeros((HEIGHT, WIDTH, channels), dtype))))
    number = 0
    for index, (samples, left, top, delay, disposal, blending) in enumerate(frames):
        height, width = samples.shape[:2]
        control = struct.pack(">IIIIIHHBB", number, width, height, left, top, *delay, disposal, blending)
        parts.append(_chunk(b"fcTL", control))
        number += 1
        if index == 0 and not hidden:
            parts.append(_chunk(b"IDAT", _pixels(samples)))
            continue
        pixels = _pixels(samples)
        for piece in (pixels[:20], pixels[20:]):
            parts.append(_chunk(b"fdAT", struct.pack(">I", number) + piece))
            number += 1
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + _chunk(b"IEND", b"")


def _pixels(samples: np.ndarray) -> bytes:
    return zlib.compress(b"".join(b"\0" + row.astype(samples.dtype.newbyteorder(">")).tobytes() for row in samples))


@pytest.mark.parametrize("hidden", [False, True], ids=["shown", "hidden first image"])
def test_sixteen_bits_and_fractions_of_seconds_stay_in_an_apng(tmp_path: Path, hidden: bool) -> None:
    frames = [colours(seed, 3, np.uint16) for seed in range(3)]
    delays = ((1, 30), (1001, 30000), (0, 0))
    path = tmp_path / "a.png"
    path.write_bytes(_apng([(frame, 0, 0, delay, 0, 0) for frame, delay in zip(frames, delays, strict=True)], hidden))
    for file in (read_file(path), _written_again(path)):
        assert file.timing == AnimationTiming(durations=(Fraction(1, 30), Fraction(1001, 30000), Fraction(0)), plays=7)
        assert all(np.array_equal(image.colour, frame) for image, frame in zip(file.images, frames, strict=True))
        assert {image.colour.dtype for image in file.images} == {np.dtype(np.uint16)}


def _written_again(path: Path) -> DecodedFile:
    write_file(path.with_name("again.png"), read_file(path))
    return read_file(path.with_name("again.png"))


def test_parts_disposals_and_blendings_of_an_apng_are_as_pillow_shows_them(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for trial in range(30):
        frames = [(colours(trial, 4), 0, 0, (1, 10), int(generator.integers(3)), 0)]
        for _ in range(5):
            left, top = int(generator.integers(WIDTH)), int(generator.integers(HEIGHT))
            width, height = (int(generator.integers(1, 1 + end)) for end in (WIDTH - left, HEIGHT - top))
            part = generator.integers(0, 256, (height, width, 4)).astype(np.uint8)
            part[..., 3] = generator.choice([0, 255, 255], (height, width))
            frames.append((part, left, top, (1, 10), *(int(choice) for choice in generator.integers((3, 2)))))
        (tmp_path / "a.png").write_bytes(_apng(frames))
        expected, _, _ = shown(tmp_path / "a.png")
        images = read_file(tmp_path / "a.png").images
        got = [
            np.dstack([image.colour, np.full((HEIGHT, WIDTH), 255) if image.alpha is None else image.alpha])
            for image in images
        ]
        assert np.array_equal(visible(got), visible(expected)), trial


def _gif(
    frames: Sequence[tuple[np.ndarray, int, int, int]], size: tuple[int, int] = (WIDTH, HEIGHT), transparent: int = -1
) -> bytes:
    """Write a GIF by its specification, of 4 colours: (indices, left, top, disposal) of each frame."""
    palette = bytes([200, 0, 0, 0, 200, 0, 0, 0, 200, 90, 90, 90])
    parts = [b"GIF89a", struct.pack("<HHBBB", *size, 0x81, 1, 0), palette]
    for indices, left, top, disposal in frames:
        flags = disposal << 2 | (transparent >= 0)
        parts.append(b"!\xf9\x04" + struct.pack("<BHB", flags, 12, max(transparent, 0)) + b"\0")
        parts.append(b"," + struct.pack("<HHHHB", left, top, indices.shape[1], indices.shape[0], 0))
        # Codes of 3 bits, with a clear code before every second pixel so that they never grow.
        codes = [
            code
            for number, value in enumerate(indices.ravel().tolist())
            for code in ([4] if number % 2 == 0 else []) + [value]
        ]
        bits = sum(code << 3 * place for place, code in enumerate([*codes, 5]))
        body = bits.to_bytes((3 * len(codes) + 3 + 7) // 8, "little")
        blocks = [body[start : start + 255] for start in range(0, len(body), 255)]
        parts.append(b"\2" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0")
    return b"".join(parts) + b";"


def test_what_no_frame_of_a_gif_covers_is_transparent(tmp_path: Path) -> None:
    part = np.array([[0, 1], [2, 3]])
    palette = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [90, 90, 90]])
    (tmp_path / "still.gif").write_bytes(_gif([(part, 3, 2, 0)]))
    image = read_image(tmp_path / "still.gif")
    assert image.colour.shape == (HEIGHT, WIDTH, 3)
    covered = np.zeros((HEIGHT, WIDTH), bool)
    covered[2:4, 3:5] = True
    assert image.alpha is not None
    assert np.array_equal(image.alpha, np.where(covered, 255, 0))
    assert np.array_equal(image.colour[2:4, 3:5], palette[part])

    # A second frame after the first was cleared, and a third after the second was taken back.
    (tmp_path / "film.gif").write_bytes(_gif([(part, 0, 0, 2), (part, 5, 5, 3), (part, 12, 8, 1)]))
    alphas = [frame.alpha for frame in read_file(tmp_path / "film.gif").images]
    corners = [[(slice(0, 2), slice(0, 2))], [(slice(5, 7), slice(5, 7))], [(slice(8, 9), slice(12, 13))]]
    for alpha, places in zip(alphas, corners, strict=True):
        expected = np.zeros((HEIGHT, WIDTH))
        for place in places:
            expected[place] = 255
        assert np.array_equal(alpha, expected)


def test_opaque_frames_that_stay_are_as_pillow_shows_them(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for trial in range(20):
        frames = [(generator.integers(0, 4, (HEIGHT, WIDTH)), 0, 0, 1)]
        for _ in range(4):
            left, top = int(generator.integers(WIDTH)), int(generator.integers(HEIGHT))
            width, height = (int(generator.integers(1, 1 + end)) for end in (WIDTH - left, HEIGHT - top))
            frames.append((generator.integers(0, 4, (height, width)), left, top, int(generator.choice([1, 3]))))
        (tmp_path / "a.gif").write_bytes(_gif(frames, transparent=trial % 2 * 3 - 1))
        expected, _, _ = shown(tmp_path / "a.gif")
        images = read_file(tmp_path / "a.gif").images
        got = [
            np.dstack([image.colour, np.full((HEIGHT, WIDTH), 255) if image.alpha is None else image.alpha])
            for image in images
        ]
        assert np.array_equal(visible(got), visible(expected)), trial


def test_damaged_animations_are_no_other_error(tmp_path: Path) -> None:
    part = np.array([[0, 1], [2, 3]])
    gif, apng = _gif([(part, 0, 0, 0)] * 3), _apng([(colours(seed), 0, 0, (1, 9), 0, 0) for seed in range(3)])
    for encoded in (gif, apng):
        for end in range(12, len(encoded), 7):
            (tmp_path / "a").write_bytes(encoded[:end])
            with contextlib.suppress(ImageError):
                read_file(tmp_path / "a")
    (tmp_path / "a").write_bytes(gif[:-5])
    with pytest.raises(ImageError, match="truncated"):
        read_file(tmp_path / "a")
    (tmp_path / "a").write_bytes(_gif([]))
    with pytest.raises(ImageError, match="not an image"):
        read_file(tmp_path / "a")


def test_the_frames_of_an_animation_are_bounded_together(tmp_path: Path) -> None:
    part = np.zeros((1, 1), np.int64)
    (tmp_path / "a.gif").write_bytes(_gif([(part, 0, 0, 0)] * 30, size=(4000, 4000)))
    with pytest.raises(ImageError, match="has more than 250 megapixels in 30 images"):
        read_file(tmp_path / "a.gif")


def test_metadata_of_animations_is_carried(tmp_path: Path) -> None:
    frames = [Image.fromarray(colours(seed)) for seed in range(2)]
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    for suffix in ("png", "webp"):
        path, again = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        frames[0].save(
            path, save_all=True, append_images=frames[1:], duration=40, exif=exif, icc_profile=b"profile!" * 20
        )
        write_file(again, read_file(path))
        with Image.open(again) as image:
            assert image.n_frames == 2
            assert image.info["icc_profile"] == b"profile!" * 20
            assert image.getexif()[0x010F] == "A camera"


def test_equal_frames_stay_frames_of_an_apng(tmp_path: Path) -> None:
    image = DecodedImage(colour=colours(0), alpha=None, format="PNG")
    timing = AnimationTiming(durations=(Fraction(1, 10), Fraction(100_001, 1000), Fraction(70_000)), plays=0)
    write_file(tmp_path / "a.png", DecodedFile(images=(image,) * 3, timing=timing), Encoding())
    durations = read_file(tmp_path / "a.png").timing.durations
    assert durations[0] == Fraction(1, 10)
    assert [round(float(duration), 2) for duration in durations] == [0.1, 100.0, 65535.0]
    assert io.BytesIO((tmp_path / "a.png").read_bytes()).getvalue().count(b"fcTL") == 3


def test_many_small_frames_and_chunks_end_soon(tmp_path: Path) -> None:
    part = np.zeros((1, 1), np.int64)
    (tmp_path / "a.gif").write_bytes(_gif([(part, 0, 0, 0)] * 10_001, size=(1, 1)))
    with pytest.raises(ImageError, match="has 10001 images, more than 10000"):
        read_file(tmp_path / "a.gif")
    texts = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000))) * 200  # 200 MB
    apng = _apng([(colours(0), 0, 0, (1, 9), 0, 0), (colours(1), 0, 0, (1, 9), 0, 0)])
    end = apng.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(apng[:end] + texts + _chunk(b"PLTE", b"abc") * 50_000 + apng[end:])
    assert np.array_equal(read_file(tmp_path / "a.png").images[1].colour, colours(1))
