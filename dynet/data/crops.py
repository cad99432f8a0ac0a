"""Crops for a device: every one is a function of the run's seed, its step and its place in the step's batch."""

import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
"""Step of the run, and place in its batch."""

SizeSchedule: TypeAlias = Callable[[int], tuple[int, int]]
"""Side of the crops in pixels, and crops in the batch, of a step; a worker must be able to unpickle it."""


Batch: TypeAlias = tuple[Tensor, Tensor]
"""Inputs and targets, both (B, 3, size, size) of uint8."""


class CropTensors(NamedTuple):
    """One input and target as the device gets them."""

    degraded: Tensor
    clean: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CropDataset(Dataset[CropTensors]):
    """The crops of a run; the same one in whatever order, worker, process or run it is asked for.

    8 bits all the way: turned to numbers in [0, 1] on the device, they are a quarter as much to move there.
    """

    mix: Mix
    size_schedule: SizeSchedule

    def __getitem__(self, key: CropKey) -> CropTensors:
        """Two tensors (3, size, size) of uint8."""
        step, index = key
        example = self.mix.example(step, index, self.size_schedule(step)[0])
        return CropTensors(_as_tensor(example.degraded), _as_tensor(example.clean))


def _as_tensor(picture: Image8) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


class StepSampler(Sampler[list[CropKey]]):
    """The keys of one process's share of each step's batch, from step `start` on.

    Every batch must divide among the processes.
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
    """The batches in the sampler's order, made by `workers` processes; 0: by this one.

    `pin` puts them into memory that a GPU reads by itself. What goes wrong with a picture is raised as it is, from
    whatever process.
    """
    if workers:
        # OpenCV's threads do not survive the fork of a worker, which then waits for them for ever: they end before it.
        cv2.setNumThreads(1)
    with warnings.catch_warnings():
        # How many processes load is the recipe's to say.
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
    for batch in batches:
        if isinstance(batch, DyNetError):
            raise batch
        yield batch


@dataclass(frozen=True, slots=True)
class _ErrorsAsItems(Dataset[CropTensors | DyNetError]):
    """Gives what goes wrong to the collating function: raised in a worker, it would arrive with a traceback in it."""

    crops: CropDataset

    def __getitem__(self, key: CropKey) -> CropTensors | DyNetError:
        try:
            return self.crops[key]
        except DyNetError as error:
            return error


def _collate(crops: list[CropTensors | DyNetError]) -> Any:
    return next((crop for crop in crops if isinstance(crop, DyNetError)), None) or default_collate(crops)


def _set_up_worker(_worker: int) -> None:
    """Leave Ctrl-C, which reaches the whole process group, to the run; and one core to each worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # of a worker that was not forked; another has none left
