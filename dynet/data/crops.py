"""Crops for a device: each is a function of the run's seed, the step, and the position in the batch of that step."""

import re
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from dynet.data.image_set import Image8
from dynet.data.mix import Mix
from dynet.errors import DyNetError

CropKey: TypeAlias = tuple[int, int]
"""The step of the run, and the position in its batch."""

SizeSchedule: TypeAlias = Callable[[int], tuple[int, int]]
"""From a step to the side of the crops in pixels and the crops in the batch; workers must be able to unpickle it."""

_ENDING = 5.0
"""Seconds in which a worker that resets its connection ends, or the connection was another one, such as to a server."""

Batch: TypeAlias = tuple[Tensor, Tensor]
"""Inputs and targets, both (B, 3, size, size) of uint8."""


class CropTensors(NamedTuple):
    """One input and target for the device."""

    degraded: Tensor
    clean: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CropDataset(Dataset[CropTensors]):
    """The crops of a run: a key gives the same crop in any order, worker, process or run.

    Crops are 8 bits until the device converts them to numbers in [0, 1], so that fewer bytes are copied there.
    """

    mix: Mix
    size_schedule: SizeSchedule

    def __getitem__(self, key: CropKey) -> CropTensors:
        """Return two tensors (3, size, size) of uint8."""
        step, index = key
        example = self.mix.example(step, index, self.size_schedule(step)[0])
        return CropTensors(_as_tensor(example.degraded), _as_tensor(example.clean))


def _as_tensor(image: Image8) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


class StepSampler(Sampler[list[CropKey]]):
    """The keys of one process's share of the batch of each step from `start` up to `stop`.

    The number of processes must divide every batch.
    """

    def __init__(self, start: int, stop: int, size_schedule: SizeSchedule, rank: int, processes: int) -> None:
        self._steps = range(start, stop)
        self._size_schedule = size_schedule
        self._rank, self._processes = rank, processes

    def __iter__(self) -> Iterator[list[CropKey]]:
        for step in self._steps:
            share, rest = divmod(self._size_schedule(step)[1], self._processes)
            if rest:
                raise ValueError(f"the batch of step {step} does not divide among {self._processes} processes")
            yield [(step, index) for index in range(self._rank * share, (self._rank + 1) * share)]

    def __len__(self) -> int:
        return len(self._steps)


def load_batches(crops: CropDataset, sampler: StepSampler, workers: int, pin: bool) -> Iterator[Batch]:
    """Yield the batches in the order of the sampler.

    Args:
        crops: The crops of the run.
        sampler: The keys of each batch.
        workers: The number of worker processes; 0 makes the crops in this process.
        pin: Whether to put the batches into pinned memory, which a GPU can read directly.

    Raises:
        DyNetError: An image cannot be used; the error is the same whichever process met it.
    """
    if workers:
        # OpenCV's threads do not survive the fork of a worker, and the worker would wait for them forever.
        cv2.setNumThreads(1)
    with warnings.catch_warnings():
        # The recipe decides how many processes load.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        batches = DataLoader(
            _ErrorsAsItems(crops),
            batch_sampler=sampler,
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=pin,
            persistent_workers=workers > 0,
            worker_init_fn=_set_up_worker,
        )
    try:
        for batch in batches:
            if isinstance(batch, DyNetError):
                raise batch
            yield batch
    except ConnectionError as error:
        lost = _lost_workers(batches)
        if lost is None:
            raise
        raise lost from error
    finally:
        del batches  # ends the workers, although an error keeps this frame as long as someone keeps the error


def _lost_workers(batches: DataLoader[CropTensors | DyNetError]) -> RuntimeError | None:
    """Return the error that torch raises when a worker has ended, if one ends now, else None.

    A worker that is killed resets its connection a moment before it counts as ended, and torch then raises that error.
    """
    workers = {worker.sentinel: worker for worker in getattr(batches._iterator, "_workers", ())}
    ready = wait(list(workers), _ENDING) if workers else []
    ended = ", ".join(str(worker.pid) for sentinel, worker in workers.items() if sentinel in ready)
    return RuntimeError(f"DataLoader worker (pid(s) {ended}) exited unexpectedly") if ended else None


def dead_worker(error: RuntimeError) -> str | None:
    """Return how a worker process ended, as text, if torch raised the error because of that; else None.

    torch raises it from a signal handler, so at any place of the main process, not only where a batch is awaited.
    """
    text = str(error)
    match = re.search(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)", text)
    if match is None:
        return None
    how = re.search(r"is killed by signal: (\w[\w ]*)", match[2])
    return f"process {match[1]}, which made crops, " + (f"was killed ({how[1].strip()})" if how else "ended")


@dataclass(frozen=True, slots=True)
class _ErrorsAsItems(Dataset[CropTensors | DyNetError]):
    """Crops, with errors as items: an error raised in a worker would arrive with a traceback in its text."""

    crops: CropDataset

    def __getitem__(self, key: CropKey) -> CropTensors | DyNetError:
        try:
            return self.crops[key]
        except DyNetError as error:
            return error


def _collate(items: list[CropTensors | DyNetError]) -> Any:
    return next((item for item in items if isinstance(item, DyNetError)), None) or default_collate(items)


def _set_up_worker(_worker: int) -> None:
    """Ignore Ctrl-C, which reaches the whole process group and which the main process handles; use one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # for a worker that was not forked
