"""From pictures to crops: every crop of a run is a function of (seed, step, index) and of the data set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dynet.data import Image8, Pictures
from dynet.errors import DataError
from dynet.randomness import generator

Corrupt = Callable[[Image8, np.random.Generator], Image8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Pairs (corrupted crop, clean crop), numbered step * batch + index for the whole run.

    Number n is the same pair in whatever order, process or run it is asked for.
    """

    pictures: Pictures
    corrupt: Corrupt
    seed: int
    size: int
    batch: int

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Two tensors (3, size, size) of float32 in [0, 1]."""
        step, index = divmod(number, self.batch)
        random = generator(self.seed, "crop", step, index)
        picture = self.pictures.draw(random)
        clean = orient(cut(picture, self.size, random), int(random.integers(8)))
        corrupted = self.corrupt(clean, generator(self.seed, "corruption", step, index))
        return _as_tensor(corrupted), _as_tensor(clean)


def cut(picture: Image8, size: int, random: np.random.Generator) -> Image8:
    """picture: (H, W, 3) to a (size, size, 3) piece of it, every position as likely."""
    height, width = picture.shape[:2]
    if min(height, width) < size:
        raise DataError(f"a picture of {width}x{height} pixels is too small for crop: {size}")
    top, left = int(random.integers(height - size + 1)), int(random.integers(width - size + 1))
    return picture[top : top + size, left : left + size]


def orient(picture: Image8, which: int) -> Image8:
    """One of the eight flips and quarter turns; 0 leaves the picture upright."""
    turned = np.rot90(picture, which % 4)
    return turned[:, ::-1] if which >= 4 else turned


def _as_tensor(picture: Image8) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float() / 255


class StepSampler(Sampler[list[int]]):
    """The numbers of one process's share of each step's batch, from step `start` on."""

    def __init__(self, start: int, stop: int, batch: int, rank: int, processes: int) -> None:
        self._steps = range(start, stop)
        self._batch = batch
        share = batch // processes
        self._mine = range(rank * share, (rank + 1) * share)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            yield [step * self._batch + index for index in self._mine]

    def __len__(self) -> int:
        return len(self._steps)


def loader(crops: Crops, sampler: StepSampler, workers: int, pin: bool) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches (B, 3, size, size) in the sampler's order, made by `workers` processes."""
    return DataLoader(
        crops, batch_sampler=sampler, num_workers=workers, pin_memory=pin, worker_init_fn=_leave_signals_to_the_run
    )


def _leave_signals_to_the_run(_worker: int) -> None:
    """Ctrl-C reaches the whole process group; the run, not its workers, decides when to stop."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
