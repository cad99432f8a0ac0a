import multiprocessing
import pickle
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from dynet.data import crops as crops_module
from dynet.data.crops import Batch, CropDataset, StepSampler, dead_worker, load_batches
from dynet.data.mix import Mix, TrainingTask
from dynet.data.sources import DataSource, open_mix
from dynet.errors import DataError


def dust(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.where(random.random(image.shape) < 0.5, image, np.uint8(0))


def growing(step: int) -> tuple[int, int]:
    """24 pixels, and from step 3 on 32 in smaller batches."""
    return (24, 4) if step < 3 else (32, 2)


@pytest.fixture
def mix(data_set: Path, tmp_path: Path) -> Mix:
    """Patches of a built set to put dust on, and a folder of pairs."""
    noise = np.random.default_rng(0)
    for side in ("input", "target"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for name in "ab":
            Image.fromarray(noise.integers(0, 255, (40, 50, 3), np.uint8)).save(
                tmp_path / "pairs" / side / f"{name}.png"
            )
    tasks = [TrainingTask(name="dust", weight=1.0, degrade=dust), TrainingTask(name="pairs", weight=1.0, degrade=None)]
    sources = [DataSource(str(data_set)), DataSource(str(tmp_path / "pairs"))]
    return open_mix(tasks, sources, seed=5, hold_out=0, exclude=(), stream=False, cache=tmp_path)


def batches(mix: Mix, rank: int, processes: int, workers: int) -> list[Batch]:
    crops = CropDataset(mix=mix, size_schedule=growing)
    return list(load_batches(crops, StepSampler(1, 5, growing, rank, processes), workers, pin=False))


def test_a_crop_is_a_function_of_its_key_in_any_order(mix: Mix) -> None:
    crops = CropDataset(mix=mix, size_schedule=growing)
    keys = [(step, index) for step in range(4) for index in range(3)]
    forward = {key: crops[key] for key in keys}
    for key in reversed(keys):
        degraded, clean = crops[key]
        assert torch.equal(degraded, forward[key].degraded)
        assert torch.equal(clean, forward[key].clean)
        side = growing(key[0])[0]
        assert degraded.shape == clean.shape == (3, side, side)
        assert degraded.dtype == clean.dtype == torch.uint8
    assert len({clean.numpy().tobytes() for _, clean in forward.values()}) == len(keys)


def test_unpickled_crops_are_the_same(mix: Mix) -> None:
    crops = CropDataset(mix=mix, size_schedule=growing)
    sent = pickle.loads(pickle.dumps(crops))
    assert all(torch.equal(sent[key].degraded, crops[key].degraded) for key in ((0, 0), (0, 1), (4, 0), (4, 1)))


def test_a_crop_is_its_example_with_channels_first(mix: Mix) -> None:
    crop, example = CropDataset(mix=mix, size_schedule=growing)[2, 1], mix.example(2, 1, 24)
    assert np.array_equal(crop.degraded.permute(1, 2, 0).numpy(), example.degraded)
    assert np.array_equal(crop.clean.permute(1, 2, 0).numpy(), example.clean)


def test_batches_have_the_size_of_their_step(mix: Mix) -> None:
    shapes = [tuple(degraded.shape) for degraded, _ in batches(mix, 0, 1, 0)]
    assert shapes == [(4, 3, 24, 24), (4, 3, 24, 24), (2, 3, 32, 32), (2, 3, 32, 32)]
    (_, clean), *_ = batches(mix, 0, 1, 0)
    assert clean.dtype == torch.uint8


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_batches(mix: Mix, workers: int) -> None:
    alone, shared = batches(mix, 0, 1, 0), batches(mix, 0, 1, workers)
    assert len(alone) == len(shared) == 4
    for one, other in zip(alone, shared, strict=True):
        assert all(torch.equal(*tensors) for tensors in zip(one, other, strict=True))


def test_processes_divide_the_same_batches(mix: Mix) -> None:
    alone = batches(mix, 0, 1, 0)
    shares = [batches(mix, rank, 2, 0) for rank in (0, 1)]
    for step, whole in enumerate(alone):
        parts = [share[step] for share in shares]
        assert all(torch.equal(tensor, torch.cat(both)) for tensor, *both in zip(whole, *parts, strict=True))


def test_a_run_that_starts_at_a_later_step_has_the_same_batches(mix: Mix) -> None:
    crops = CropDataset(mix=mix, size_schedule=growing)
    later = list(load_batches(crops, StepSampler(3, 5, growing, 0, 1), 0, pin=False))
    assert all(torch.equal(one[0], other[0]) for one, other in zip(later, batches(mix, 0, 1, 0)[2:], strict=True))


def test_a_batch_that_does_not_divide_among_processes_is_an_error() -> None:
    sampler = StepSampler(0, 5, growing, 0, 4)
    assert len(sampler) == 5
    with pytest.raises(ValueError, match="the batch of step 3 does not divide among 4 processes"):
        list(sampler)


def threads_of_opencv(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.full_like(image, cv2.getNumThreads())


@pytest.mark.timeout(60)
def test_workers_have_one_thread_even_if_opencv_used_many_before(data_set: Path, tmp_path: Path) -> None:
    task = TrainingTask(name="count", weight=1.0, degrade=threads_of_opencv)
    mix = open_mix([task], [DataSource(str(data_set))], seed=0, hold_out=0, exclude=(), stream=False, cache=tmp_path)
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (31, 31), 5)
    try:
        assert {int(value) for degraded, _ in batches(mix, 0, 1, 1) for value in degraded.unique()} == {1}
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_has_the_same_message(workers: int, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "small.png")
    task = TrainingTask(name="dust", weight=1.0, degrade=dust)
    mix = open_mix([task], [DataSource(str(tmp_path))], seed=0, hold_out=0, exclude=(), stream=False, cache=tmp_path)
    with pytest.raises(DataError) as caught:
        batches(mix, 0, 1, workers)
    assert str(caught.value) == f"{tmp_path / 'small.png'} has 20x20 pixels, too few for crop: 24"


def _reset(*_: object, **__: object) -> None:
    raise ConnectionResetError(104, "Connection reset by peer")


def test_of_workers_those_that_end_are_named() -> None:
    """With processes that torch does not know: its handler of SIGCHLD raises an error anywhere in this process."""
    workers = [multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    loader = SimpleNamespace(_iterator=SimpleNamespace(_workers=workers))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crops_module, "_ENDING", 0.1)
            assert crops_module._lost_workers(loader) is None  # type: ignore[arg-type]
        workers[0].kill()
        lost = crops_module._lost_workers(loader)  # type: ignore[arg-type]
        assert lost is not None
        assert dead_worker(lost) == f"process {workers[0].pid}, which made crops, ended"
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def test_a_connection_that_an_ending_worker_resets_is_told_as_its_end(
    mix: Mix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a worker is killed between sending where a batch is and sending the batch."""
    lost = RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly")
    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_try_get_data", _reset)
    monkeypatch.setattr(crops_module, "_lost_workers", lambda _: lost)
    with pytest.raises(RuntimeError) as error:
        batches(mix, 0, 1, 2)
    assert error.value is lost
    assert isinstance(lost.__cause__, ConnectionResetError)


def test_another_connection_that_is_reset_keeps_its_error(mix: Mix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_try_get_data", _reset)
    monkeypatch.setattr(crops_module, "_ENDING", 0.1)
    with pytest.raises(ConnectionResetError):
        batches(mix, 0, 1, 2)
