"""What is true of every degradation; what each one does is tested in the other files here."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from dynet.config.recipe import DegradationChoice
from dynet.degradations.degradation import Degradation, draw_degradation, to_uint8
from dynet.degradations.registry import DEGRADATIONS
from dynet.runtime.rng import generator

TYPICAL: dict[str, dict[str, float]] = {
    "gaussian_noise": {"sigma": 25},
    "poisson_gaussian_noise": {"gain": 3, "sigma": 5},
    "camera_noise": {"shot": 0.01, "read": 0.005, "red": 2, "blue": 1.6, "crosstalk": 0.3, "smoothing": 0.6},
    "random_noise": {"amplitude": 40},
    "impulse_noise": {"share": 0.1, "extremes": 0.5},
    "jpeg": {"quality": 20},
    "webp": {"quality": 20},
    "gaussian_blur": {"sigma": 2, "ratio": 0.5, "angle": 30},
    "defocus_blur": {"radius": 4},
    "motion_blur": {"length": 20, "angle": 40, "shake": 0.7},
    "rain": {"density": 0.1, "length": 30, "width": 2, "angle": 15, "opacity": 0.8, "layers": 3, "veil": 0.1},
    "haze": {"beta": 1, "airlight": 0.85},
    "low_light": {"gain": 0.1, "gamma": 1.2, "shot": 0.001, "read": 0.001},
    "downscale": {"scale": 3},
    "none": {},
}
NO_EFFECT: dict[str, dict[str, float]] = {
    "gaussian_noise": {"sigma": 0},
    "poisson_gaussian_noise": {"gain": 0, "sigma": 0},
    "camera_noise": {"shot": 0, "read": 0, "red": 2, "blue": 1.6, "crosstalk": 0.3, "smoothing": 0.6},
    "random_noise": {"amplitude": 0},
    "impulse_noise": {"share": 0, "extremes": 1},
    "gaussian_blur": {"sigma": 0, "ratio": 0.5, "angle": 30},
    "defocus_blur": {"radius": 0},
    "motion_blur": {"length": 0, "angle": 40, "shake": 1},
    "rain": {"density": 0, "length": 30, "width": 2, "angle": 15, "opacity": 1, "layers": 3, "veil": 0},
    "haze": {"beta": 0, "airlight": 0.85},
    "low_light": {"gain": 1, "gamma": 1, "shot": 0, "read": 0},
    "downscale": {"scale": 1},
    "none": {},
}
DRAW_NOTHING = {"jpeg", "webp", "gaussian_blur", "defocus_blur", "none"}
IN_ANOTHER_PROCESS = """
import json, sys
import cv2, numpy as np
from dynet.degradations.registry import DEGRADATIONS
from dynet.runtime.rng import generator
cv2.setNumThreads(int(sys.argv[3]))
image, results = np.load(sys.argv[1]), {}
for kind, parameters in json.loads(sys.argv[4]).items():
    results[kind] = DEGRADATIONS[kind].function(image, generator(5, "key", 3), **parameters)
np.savez(sys.argv[2], **results)
"""


def degraded(kind: str, image: np.ndarray, parameters: dict[str, float], key: int = 3) -> np.ndarray:
    return DEGRADATIONS[kind].function(image, generator(5, "key", key), **parameters)


def model(kind: str, **ranges: Any) -> Degradation:
    """The model of a recipe, with typical values where there is no default."""
    required = {name for name, field in DEGRADATIONS[kind].model_fields.items() if field.is_required()} - {"kind"}
    values = {name: TYPICAL[kind][name] for name in required} | ranges
    return TypeAdapter(DegradationChoice).validate_python({"kind": kind, **values})


@pytest.fixture
def crop(photographs: list[np.ndarray]) -> np.ndarray:
    return photographs[0][100:164, 150:230]


def test_the_table_of_this_file_names_every_degradation() -> None:
    assert TYPICAL.keys() == DEGRADATIONS.keys()
    assert DEGRADATIONS.keys() - NO_EFFECT.keys() == {"jpeg", "webp"}


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_is_a_pure_function_of_its_key(kind: str, crop: np.ndarray) -> None:
    original = crop.copy()
    first, second, *others = (degraded(kind, crop, TYPICAL[kind], key) for key in (3, 3, 4, 5, 6, 7))
    assert first.dtype == np.uint8
    assert first.shape == crop.shape
    assert np.array_equal(first, second)
    assert np.array_equal(first, crop) == (kind == "none")
    assert np.array_equal(crop, original)
    assert all(np.array_equal(first, other) for other in others) == (kind in DRAW_NOTHING)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_random_numbers_come_from_the_generator_only(kind: str, crop: np.ndarray) -> None:
    np.random.seed(0)
    expected = degraded(kind, crop, TYPICAL[kind])
    np.random.seed(1)
    cv2.setRNGSeed(7)
    assert np.array_equal(expected, degraded(kind, crop, TYPICAL[kind]))


@pytest.mark.parametrize("kind", NO_EFFECT)
def test_parameters_without_effect_return_the_image_unchanged(kind: str, photographs: list[np.ndarray]) -> None:
    for image in (photographs[1][:90, :131], np.arange(768, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8)):
        assert np.array_equal(degraded(kind, image, NO_EFFECT[kind]), image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (16, 16), (17, 31), (3, 301), (257, 5)])
@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_every_size_works_at_both_ends_of_every_limit(kind: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    ends = [{name: limits[end] for name, limits in DEGRADATIONS[kind].LIMITS.items()} for end in (0, 1)]
    for parameters in (*ends, TYPICAL[kind]):
        result = degraded(kind, image, parameters)
        assert result.shape == image.shape
        assert result.dtype == np.uint8


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_parameter_alone_at_either_end_works(kind: str, crop: np.ndarray) -> None:
    for name, limits in DEGRADATIONS[kind].LIMITS.items():
        for value in limits:
            assert degraded(kind, crop, TYPICAL[kind] | {name: value}).shape == crop.shape


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_the_memory_layout_of_an_image_does_not_matter(kind: str, crop: np.ndarray) -> None:
    for number in range(8):
        turned = np.rot90(crop, number)[:, :: 1 if number < 4 else -1]
        copied = np.ascontiguousarray(turned)
        assert np.array_equal(degraded(kind, turned, TYPICAL[kind]), degraded(kind, copied, TYPICAL[kind]))
    read_only = crop.copy()
    read_only.setflags(write=False)
    assert np.array_equal(degraded(kind, read_only, TYPICAL[kind]), degraded(kind, crop, TYPICAL[kind]))


def _older_processor() -> dict[str, str]:
    """Settings under which numpy, OpenCV, the C library and libjpeg avoid instructions that some processors lack."""
    from numpy._core import _multiarray_umath as umath

    features = cv2.getCPUFeaturesLine().split()
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(
            name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)
        ),
        "OPENCV_CPU_DISABLE": ",".join(name.strip("*") for name in features if name.startswith("*AVX")),
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
        "OPENBLAS_CORETYPE": "Nehalem",
        "JSIMD_FORCENONE": "1",
    }


@pytest.mark.parametrize("machine", ["four threads", "an older processor"])
def test_another_process_has_the_same_pixels_within_a_level(machine: str, tmp_path: Path, crop: np.ndarray) -> None:
    np.save(tmp_path / "image.npy", crop)
    threads, settings = ("4", {}) if machine == "four threads" else ("1", _older_processor())
    arguments = [str(tmp_path / "image.npy"), str(tmp_path / "results.npz"), threads, json.dumps(TYPICAL)]
    subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": threads} | settings,
        cwd=Path(__file__).parents[3],
        check=True,
    )
    results = np.load(tmp_path / "results.npz")
    for kind, parameters in TYPICAL.items():
        difference = np.abs(results[kind].astype(int) - degraded(kind, crop, parameters))
        assert difference.max() <= 1, kind
        assert np.mean(difference > 0) < 0.001, kind


def test_rounding_has_no_bias_and_stays_within_eight_bits() -> None:
    levels = np.random.default_rng(0).uniform(0, 255, 1_000_000)
    error = to_uint8(levels) - levels
    assert abs(error.mean()) < 4 * 12**-0.5 / 1000  # four standard errors; truncation would have -0.5
    assert np.abs(error).max() <= 0.5
    assert to_uint8(np.array([-300.0, -0.4, 254.6, 255.4, 511.0])).tolist() == [0, 0, 255, 255, 255]


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_limits_are_the_parameters_of_the_function_and_the_fields_of_the_model(kind: str) -> None:
    chosen = DEGRADATIONS[kind]
    parameters = inspect.signature(chosen.function).parameters.values()
    keywords = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    assert list(chosen.LIMITS) == keywords
    assert set(chosen.model_fields) == {"kind", "weight", *keywords}
    assert all(low < high for low, high in chosen.LIMITS.values())
    required = {name for name in keywords if chosen.model_fields[name].is_required()}
    assert required == (set(keywords) if len(keywords) == 1 else set())  # several have recommended defaults


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_documents_what_it_does_and_its_source(kind: str) -> None:
    chosen = DEGRADATIONS[kind]
    module = inspect.getmodule(chosen.function)
    assert module is not None
    assert module.__name__ == f"dynet.degradations.{kind}"
    assert "Source" in (module.__doc__ or "")
    summary = (chosen.function.__doc__ or "").partition("\n")[0]
    assert "image (H, W, 3)" in summary
    assert chosen.__doc__
    assert chosen.__doc__ != Degradation.__doc__


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_is_read_from_a_recipe_and_applied(kind: str, crop: np.ndarray) -> None:
    chosen = model(kind)
    assert type(chosen) is DEGRADATIONS[kind]
    assert TypeAdapter(DegradationChoice).validate_python(chosen.model_dump(mode="json")) == chosen
    results = [draw_degradation([chosen], crop, generator(0, "draw", key)) for key in (0, 0, 1)]
    assert np.array_equal(results[0], results[1])
    assert results[0].shape == crop.shape
    assert np.array_equal(results[0], crop) == (kind == "none")


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_a_range_beyond_its_limits_is_refused_by_name(kind: str) -> None:
    for name, (low, high) in DEGRADATIONS[kind].LIMITS.items():
        for wrong in ([low - 1, high], [low, high + 1], [high, low], float("nan"), "much"):
            with pytest.raises(ValidationError, match=name):
                model(kind, **{name: wrong})
    with pytest.raises(ValidationError, match="strenght"):
        model(kind, strenght=1)


def test_parameters_are_drawn_evenly_from_their_ranges() -> None:
    seen: list[dict[str, float]] = []

    class Watched(DEGRADATIONS["impulse_noise"]):  # type: ignore[misc]
        function = staticmethod(lambda image, generator, **drawn: seen.append(drawn) or image)

    watched = Watched(kind="impulse_noise", share=(0.2, 0.6), extremes=0.5)
    for key in range(400):
        watched.apply(np.zeros((1, 1, 3), np.uint8), generator(0, "parameters", key))
    shares = np.array([drawn["share"] for drawn in seen])
    assert shares.min() >= 0.2
    assert shares.max() <= 0.6
    assert np.histogram(shares, 4, (0.2, 0.6))[0].min() > 70
    assert {drawn["extremes"] for drawn in seen} == {0.5}


def test_degradations_are_drawn_by_weight(crop: np.ndarray) -> None:
    light, heavy = model("gaussian_noise", sigma=0, weight=1), model("gaussian_noise", sigma=50, weight=3)
    changed = [
        not np.array_equal(draw_degradation([light, heavy], crop[:8, :8], generator(0, "weights", key)), crop[:8, :8])
        for key in range(400)
    ]
    assert np.mean(changed) == pytest.approx(0.75, abs=0.07)
