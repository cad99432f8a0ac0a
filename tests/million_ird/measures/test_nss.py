"""NIQE and BRISQUE: compared with pyiqa, null where they do not apply, parameters from every published file."""

import concurrent.futures
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from skimage import data as bundled

from million_ird.errors import ModelUnavailable, UsageError
from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_types import Tier
from million_ird.measures import nss, nss_features, nss_models, nss_planes
from million_ird.measures.nss_fit import fit_niqe
from tests.million_ird.measures.pyiqa_process import PyiqaProcess, pyiqa_process

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("MILLION_IRD_SHARED_DATA", ROOT.parent / "shared" / "data"))
RNG = np.random.default_rng(7)


def _drawing() -> np.ndarray:
    """Return white, black, and a few colours with hard edges: mostly flat, as a chart."""
    out = np.full((240, 300, 3), 255, np.uint8)
    out[20:90, 30:140] = 200, 30, 60
    out[100:103] = 0
    out[120:, 150:] = 0
    out[150:220, 200:280] = 112
    out[10:230:7, 5:20] = 64
    return out


def _make_images() -> dict[str, np.ndarray]:
    noise = RNG.integers(0, 256, (200, 230, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (192, 256))
    rows = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None] // 3 * 4, (200, 150, 3))
    half = np.concatenate([noise[:, :115], np.full_like(noise[:, :115], 255)], axis=1)
    return {
        "noise": noise,
        "smallest": noise[:96, :96],
        "one row more": noise[:97, :191],
        "ramp, grey": ramp,
        "constant rows": rows,
        "half of it white": half,
        "drawing": _drawing(),
        "dark": noise // 60,
        "astronaut": bundled.astronaut()[40:333, 100:409],
        "cat, odd": bundled.chelsea()[:299, :449],
        "camera, grey": bundled.camera()[:301, 100:405],
        "coffee": bundled.coffee()[100:300, 100:400],
        "page, grey": bundled.page(),
    }


IMAGES = _make_images()
SHARED_IMAGES = (
    "benchmarks/CBSD68/148026.jpg",
    "negatives/logos/opengl.png",
    "negatives/logos/express.png",
    "negatives/charts/bounds.png",
    "train/BSDS500/val/38092.jpg",
)


@pytest.fixture(scope="module")
def niqe() -> nss_models.NiqeModel:
    """Return official parameters where the shared data has them, else our own: equality does not depend on which."""
    folder = SHARED / "params"
    return nss_models.load_niqe(folder) if folder.is_dir() else nss_models.load_niqe_ird()


@pytest.fixture(scope="module")
def brisque() -> nss_models.BrisqueModel:
    folder = SHARED / "params"
    if folder.is_dir():
        return nss_models.load_brisque(folder)
    rng = np.random.default_rng(3)
    return nss_models.BrisqueModel(
        vectors=rng.uniform(-1, 1, (774, 36)).astype(np.float32),
        weights=rng.choice([-1024, 1024], 774).astype(np.float32),
        ranges=np.array(nss_models.BRISQUE_RANGES_LIVE, np.float32),
    )


@pytest.fixture(scope="module")
def reference(niqe: nss_models.NiqeModel, brisque: nss_models.BrisqueModel) -> Iterator[PyiqaProcess]:
    with pyiqa_process(niqe, brisque) as process:
        yield process


def _assert_equal(ours: float | None, theirs: float | None) -> None:
    if theirs is None or ours is None:
        assert ours is theirs
    else:
        assert abs(ours - theirs) <= max(0.01, 0.001 * abs(theirs))


@pytest.mark.parametrize("name", IMAGES)
def test_equals_pyiqa_on_constructed_and_bundled_images(name, niqe, brisque, reference):
    pixels = np.ascontiguousarray(IMAGES[name])
    ours = nss.score(pixels, niqe=niqe, brisque=brisque)
    _assert_equal(ours.niqe, reference.niqe(pixels))
    _assert_equal(ours.brisque, reference.brisque(pixels))


@pytest.mark.parametrize("name", SHARED_IMAGES)
def test_equals_pyiqa_on_shared_images(name, niqe, brisque, reference):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{path} does not exist")
    pixels = np.asarray(Image.open(path).convert("RGB"))
    ours = nss.score(pixels, niqe=niqe, brisque=brisque)
    _assert_equal(ours.niqe, reference.niqe(pixels))
    _assert_equal(ours.brisque, reference.brisque(pixels))


def test_luma_and_half_size_equal_pyiqas_to_the_last_bit(reference):
    rgb = RNG.integers(0, 256, (203, 331, 3), dtype=np.uint8)
    their_luma, their_half = reference.luma_and_half(rgb)
    luma = nss_planes.luma(rgb)
    assert np.array_equal(luma, their_luma)
    assert np.array_equal(nss_planes.halve(luma, 1), their_half)


def test_tables_equal_those_that_pytorch_computes():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        from nss_tables import tables

    for shipped, computed in zip(nss_features._tables(), tables().values(), strict=True):
        assert np.allclose(shipped, computed, rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", [(95, 400, 3), (400, 95, 3), (95, 95), (1, 1, 3)])
def test_an_image_under_96_pixels_is_null(shape, niqe, brisque):
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    assert nss.score(pixels, niqe_ird=niqe, niqe=niqe, brisque=brisque) == nss.NssScores()


@pytest.mark.parametrize("value", [0, 1, 112, 144, 255])
def test_one_flat_colour_is_null(value, niqe, brisque):
    flat = np.full((200, 200, 3), value, np.uint8)
    assert nss.score(flat, niqe_ird=niqe, niqe=niqe, brisque=brisque) == nss.NssScores()


def test_niqe_is_null_if_every_block_has_an_undefined_feature(niqe):
    assert nss.niqe(np.ascontiguousarray(IMAGES["constant rows"]), niqe) is None


def test_a_single_different_pixel_scores_as_in_pyiqa(niqe, brisque, reference):
    pixels = np.full((192, 192, 3), 255, np.uint8)
    pixels[100, 100] = 254
    ours = nss.score(pixels, niqe=niqe, brisque=brisque)
    _assert_equal(ours.niqe, reference.niqe(pixels))
    _assert_equal(ours.brisque, reference.brisque(pixels))


def test_each_score_is_the_same_alone_and_together(niqe, brisque):
    pixels = IMAGES["astronaut"]
    own = nss_models.load_niqe_ird()
    together = nss.score(pixels, niqe_ird=own, niqe=niqe, brisque=brisque)
    assert together.niqe == nss.niqe(pixels, niqe)
    assert together.brisque == nss.brisque(pixels, brisque)
    assert together.niqe_ird == nss.niqe(pixels, own)


def test_grey_as_three_equal_channels_scores_as_grey(niqe, brisque):
    grey = IMAGES["camera, grey"]
    repeated = np.repeat(grey[..., None], 3, axis=2)
    assert nss.score(repeated, niqe=niqe, brisque=brisque) == nss.score(grey, niqe=niqe, brisque=brisque)


@pytest.mark.parametrize("name", ["astronaut", "camera, grey"])
def test_an_eight_bit_image_scores_the_same_in_sixteen_bits(name, niqe, brisque):
    pixels = IMAGES[name]
    shallow = nss.score(pixels, niqe=niqe, brisque=brisque)
    deep = nss.score(pixels.astype(np.uint16) * 257, niqe=niqe, brisque=brisque)
    assert deep.niqe == pytest.approx(shallow.niqe, abs=1e-3)
    assert deep.brisque == pytest.approx(shallow.brisque, abs=0.05)


def test_a_view_with_strides_scores_as_its_copy(niqe, brisque):
    view = bundled.astronaut()[::2, ::-1]
    copy = np.ascontiguousarray(view)
    assert nss.score(view, niqe=niqe, brisque=brisque) == nss.score(copy, niqe=niqe, brisque=brisque)


def test_pixels_of_another_shape_or_type_are_refused(niqe):
    with pytest.raises(ValueError, match="neither RGB nor grey"):
        nss.niqe(np.zeros((100, 100, 4), np.uint8), niqe)
    with pytest.raises(ValueError, match="neither RGB nor grey"):
        nss.niqe(np.zeros((100, 100, 3), np.float32), niqe)


def test_threads_do_not_affect_each_other(niqe, brisque):
    images = [IMAGES[name] for name in ("noise", "astronaut", "drawing", "cat, odd")] * 6
    alone = [nss.score(pixels, niqe=niqe, brisque=brisque) for pixels in images]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda pixels: nss.score(pixels, niqe=niqe, brisque=brisque), images)) == alone


def _encoded_image(pixels: np.ndarray) -> EncodedImage:
    from io import BytesIO

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return EncodedImage(buffer.getvalue())


def test_the_measure_fills_its_fields_and_no_others(niqe, brisque):
    image = _encoded_image(IMAGES["coffee"])
    default = nss.NssMeasure()
    assert default.tier is Tier.QUALITY
    assert default.fields == ("niqe_ird",)
    full = nss.NssMeasure(niqe=niqe, brisque=brisque)
    numbers = full.measure(image)
    assert tuple(numbers) == full.fields == ("niqe_ird", "niqe", "brisque")
    assert numbers["niqe_ird"] == default.measure(image)["niqe_ird"]
    assert all(value is not None for value in numbers.values())


def test_niqe_ird_separates_photographs_from_drawings_and_blur():
    own = nss_models.load_niqe_ird()
    photographs = [nss.niqe(pixels, own) for pixels in (bundled.astronaut(), bundled.coffee(), bundled.chelsea())]
    import cv2

    others = [nss.niqe(IMAGES["drawing"], own), nss.niqe(cv2.GaussianBlur(bundled.astronaut(), (0, 0), 4), own)]
    assert max(photographs) < min(others)


def test_the_shipped_model_is_small():
    path = Path(nss_models.__file__).with_name("niqe_ird.npz")
    assert path.stat().st_size < 30_000


def test_fitting_does_not_depend_on_the_order_and_is_read_back_from_its_file(tmp_path):
    images = [bundled.astronaut(), bundled.coffee(), bundled.camera(), bundled.chelsea(), bundled.grass()]
    images += [image[::-1] for image in images] + [image[:, ::-1] for image in images]
    model = fit_niqe(images)
    again = fit_niqe(reversed(images))
    assert np.allclose(model.mean, again.mean)
    assert np.allclose(model.covariance, again.covariance)
    nss_models.save_niqe(model, tmp_path / "m.npz")
    read = nss_models.read_niqe(tmp_path / "m.npz")
    assert np.array_equal(read.mean, model.mean)
    assert np.array_equal(read.covariance, model.covariance)


def test_too_few_patches_are_refused():
    with pytest.raises(UsageError, match="100 sharp patches"):
        fit_niqe([bundled.astronaut()[:100, :100], np.zeros((40, 40, 3), np.uint8)])


def test_parameters_are_read_from_every_published_file(tmp_path, niqe, brisque, monkeypatch):
    scipy.io.savemat(
        tmp_path / "niqe_modelparameters.mat", {"mu_prisparam": niqe.mean[None], "cov_prisparam": niqe.covariance}
    )
    torch.save((torch.tensor(brisque.weights), torch.tensor(brisque.vectors)), tmp_path / "brisque_svm_weights.pth")
    monkeypatch.setenv(nss_models.MODELS_VARIABLE, str(tmp_path))
    assert np.array_equal(nss_models.load_niqe().covariance, niqe.covariance)
    read = nss_models.load_brisque()
    assert np.array_equal(read.vectors, brisque.vectors)
    assert np.array_equal(read.weights, brisque.weights)
    assert read.rho == nss_models.BRISQUE_RHO


def test_missing_parameters_are_one_clear_line(tmp_path, monkeypatch):
    import huggingface_hub

    def offline(repo_id: str, filename: str) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no\nway")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    for load in (nss_models.load_niqe, nss_models.load_brisque):
        with pytest.raises(ModelUnavailable) as caught:
            load(tmp_path)
        assert re.search(r"--models", str(caught.value))
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelUnavailable, match="does not exist"):
        nss_models.load_niqe(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("niqe_modelparameters.mat", nss_models.load_niqe),
        ("niqe_pris_params.npz", nss_models.load_niqe),
        ("brisque_svm_weights.pth", nss_models.load_brisque),
        ("brisque_model_live.yml", nss_models.load_brisque),
    ],
)
@pytest.mark.parametrize("content", [b"", b"nonsense\n" * 40])
def test_a_broken_file_of_parameters_is_one_clear_line(tmp_path, name, load, content):
    (tmp_path / name).write_bytes(content)
    (tmp_path / nss_models.BRISQUE_RANGES).write_bytes(content)
    with pytest.raises(ModelUnavailable) as caught:
        load(tmp_path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
