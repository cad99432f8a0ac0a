"""Neural scores with randomly initialised weights: no test can download real ones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from million_ird.errors import ModelUnavailable
from million_ird.measures.neural import NeuralScore, check_name, load

NAME, CHECKPOINT = "cnniqa", "CNNIQA_koniq10k-e6f14c91.pth"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint that has pyiqa's file name."""
    from pyiqa.archs.cnniqa_arch import CNNIQA

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    torch.save({"params": CNNIQA(pretrained=None).state_dict()}, folder / CHECKPOINT)
    return folder


def sample_images() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = [(64, 80), (48, 48), (64, 80), (97, 51)]
    return [random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


def test_scores_equal_those_of_the_network_on_each_image_alone(models: Path) -> None:
    import pyiqa

    network = pyiqa.create_metric(NAME, device=torch.device("cpu"), pretrained_model_path=str(models / CHECKPOINT))
    alone = [float(network(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)) for image in sample_images()]
    assert NeuralScore(NAME, str(models)).measure_batch(sample_images()) == pytest.approx(alone, abs=1e-5)
    assert len(set(alone)) == len(alone)


def test_an_image_too_small_for_the_network_is_null_and_does_not_affect_the_others(models: Path) -> None:
    tiny = np.zeros((3, 3, 3), np.uint8)
    scores = NeuralScore(NAME, str(models)).measure_batch([tiny, *sample_images()])
    assert scores[0] is None
    assert None not in scores[1:]


def test_an_unknown_name_is_reported_with_the_nearest_name() -> None:
    with pytest.raises(ModelUnavailable, match=r"'musiqq'.*did you mean 'musiq'"):
        check_name("musiqq")
    with pytest.raises(ModelUnavailable, match="no such score without reference"):
        check_name("lpips")


def test_unreadable_weights_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "CNNIQA_koniq10k-e6f14c91.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelUnavailable, match="cannot fetch or read its weights") as raised:
        load(NAME, str(tmp_path))
    assert "\n" not in str(raised.value)
