from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dynet.crops import Crops, StepSampler, cut, loader, orient
from dynet.data import Pictures, Source
from dynet.errors import DataError
from dynet.randomness import generator


def _noise(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.where(random.random(image.shape) < 0.5, image, np.uint8(0))


@pytest.fixture
def crops(data_set: Path) -> Crops:
    return Crops(pictures=Pictures([Source(str(data_set), 1)]), corrupt=_noise, seed=5, size=24, batch=4)


def test_a_crop_is_a_function_of_its_number_whatever_the_order(crops: Crops) -> None:
    forward = [crops[number] for number in range(6)]
    for number in reversed(range(6)):
        corrupted, clean = crops[number]
        assert torch.equal(corrupted, forward[number][0])
        assert torch.equal(clean, forward[number][1])
        assert clean.shape == (3, 24, 24)
        assert clean.dtype == torch.float32
    assert len({clean.numpy().tobytes() for _, clean in forward}) == 6


def test_workers_and_processes_give_the_same_batches(crops: Crops) -> None:
    def batches(rank: int, processes: int, workers: int) -> list[torch.Tensor]:
        sampler = StepSampler(2, 5, 4, rank, processes)
        return [corrupted for corrupted, _ in loader(crops, sampler, workers, pin=False)]

    alone = batches(0, 1, 0)
    with_workers = batches(0, 1, 2)
    shares = [batches(rank, 2, 0) for rank in (0, 1)]
    assert len(alone) == 3
    for step, batch in enumerate(alone):
        assert torch.equal(batch, with_workers[step])
        assert torch.equal(batch, torch.cat([shares[0][step], shares[1][step]]))


def test_all_eight_orientations_occur_and_upright_is_one() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(orient(picture, 0), picture)
    assert len({(orient(picture, which).shape, orient(picture, which).tobytes()) for which in range(8)}) == 8


def test_cuts_reach_every_edge() -> None:
    picture = np.arange(36, dtype=np.uint8).reshape(6, 6, 1).repeat(3, 2)
    corners = {int(cut(picture, 4, generator(0, "cut", key))[0, 0, 0]) for key in range(200)}
    assert corners == {0, 1, 2, 6, 7, 8, 12, 13, 14}


def test_a_picture_smaller_than_the_crop_is_told(crops: Crops) -> None:
    with pytest.raises(DataError, match="16x16 pixels is too small for crop: 24"):
        cut(np.zeros((16, 16, 3), np.uint8), 24, generator(0, "cut"))


def test_crops_of_another_seed_are_others(crops: Crops, data_set: Path) -> None:
    make: Callable[[int], Crops] = lambda seed: Crops(  # noqa: E731
        pictures=crops.pictures, corrupt=_noise, seed=seed, size=24, batch=4
    )
    assert not torch.equal(make(5)[0][1], make(6)[0][1])
