"""The evaluation protocols: cropping, noise and rounding."""

import unicodedata

import numpy as np
import pytest

from dynet.evaluation.protocol import AIO_PAPER, PROTOCOLS, STRICT, EvaluationProtocol

GREY = np.full((400, 500, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("size", "cropped_size"),
    [((321, 481), (320, 480)), ((481, 321), (480, 320)), ((400, 600), (400, 592)), ((15, 40), (0, 32))],
)
def test_aio_paper_crops_the_centre_to_multiples_of_16(size: tuple[int, int], cropped_size: tuple[int, int]) -> None:
    image = np.arange(size[0] * size[1] * 3, dtype=np.uint32).reshape(*size, 3).astype(np.uint8)
    cropped = AIO_PAPER.crop_centre(image)
    assert cropped.shape[:2] == cropped_size
    top, odd_row = divmod(size[0] - cropped_size[0], 2)
    left, odd_column = divmod(size[1] - cropped_size[1], 2)
    assert np.array_equal(cropped, image[top : size[0] - top - odd_row, left : size[1] - left - odd_column])
    assert np.array_equal(STRICT.crop_centre(image), image)


@pytest.mark.parametrize("sigma", [15, 25, 35.5])
def test_noise_has_its_sigma_and_only_that_of_aio_paper_is_darker_by_half_a_level(sigma: float) -> None:
    cut, rounded = (protocol.add_noise(GREY, "a", sigma).astype(float) - 128 for protocol in (AIO_PAPER, STRICT))
    error = sigma / GREY.size**0.5
    assert abs(rounded.mean()) < 4 * error
    assert abs(cut.mean() + 0.5) < 4 * error
    assert rounded.mean() - cut.mean() == pytest.approx(0.5, abs=0.005)  # the same noise in both
    for noise in (cut, rounded):
        assert noise.std() == pytest.approx(sigma, rel=0.02)  # clipping at σ 35 takes a little of it
        neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
        channels = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
        assert max(abs(neighbours), abs(channels)) < 0.01


def test_noise_stays_within_8_bits() -> None:
    for protocol in PROTOCOLS.values():
        for level in (0, 255):
            noisy = protocol.add_noise(np.full((64, 64, 3), level, np.uint8), "a", 50)
            assert noisy.dtype == np.uint8
            # Levels beyond black or white are clipped, and do not wrap around.
            assert (noisy == level).mean() == pytest.approx(0.5, abs=0.03)
            assert abs(np.median(noisy.astype(float)) - level) <= 1


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_noise_is_a_function_of_stem_and_sigma(protocol: EvaluationProtocol) -> None:
    first = protocol.add_noise(GREY, "101085", 25)
    others = [
        protocol.add_noise(GREY, "101087", 25),
        protocol.add_noise(GREY, "101085", 15),
        protocol.add_noise(GREY, "101085", 50),
    ]
    assert np.array_equal(protocol.add_noise(GREY, "101085", 25.0), first)
    unit = (first - 128.0).ravel()
    for other in others:
        assert abs(np.corrcoef(unit, (other - 128.0).ravel())[0, 1]) < 0.01


def test_both_unicode_forms_of_a_name_have_the_same_noise() -> None:
    composed, split = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != split
    assert np.array_equal(STRICT.add_noise(GREY, composed, 25), STRICT.add_noise(GREY, split, 25))


def test_a_name_that_is_not_text_has_its_own_noise() -> None:
    first, second = (STRICT.add_noise(GREY, name, 25) for name in (b"a\xff".decode(errors="surrogateescape"), "a"))
    assert not np.array_equal(first, second)


def test_the_noise_of_a_benchmark_never_changes() -> None:
    noisy = STRICT.add_noise(np.full((2, 2, 3), 128, np.uint8), "101085", 25)
    # Within one level, since processors may round differently.
    expected = [141, 153, 153, 144, 107, 149, 133, 110, 104, 176, 105, 160]
    assert np.abs(noisy.ravel().astype(int) - expected).max() <= 1


def test_only_strict_rounds_the_output_as_a_saved_file_would() -> None:
    restored = np.array([-0.2, 0.0, 0.1001, 0.5, 0.99999, 1.4], np.float32)
    clipped = np.clip(restored, 0, 1)
    assert np.array_equal(AIO_PAPER.postprocess(restored), clipped)
    assert np.array_equal(STRICT.postprocess(restored), np.rint(clipped * 255).astype(np.float32) / np.float32(255))
