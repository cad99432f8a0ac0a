"""Crops a second that the loader makes, against `datasets` or PIL with torchvision's crop and flips and a DataLoader.

`python benchmarks/loader.py`, on the shared data: 512x512 patches of 31 photographs as `million-ird build` writes them
(lossless WebP in parquet), the same streamed from a Hub on loopback, a folder of JPEGs (BSDS500's training pictures)
and pairs of PNGs (Rain100L). Crops of 128, batches of 32; clean crops get Gaussian noise of sigma 25 by the same
function on both sides, pairs none. Ours draws all eight orientations, the other side flips.

Rounds of the two are run by turns and the best of each counts, for the rate of the wall clock; a core's rate is crops
for each second of processor time that the process and its workers used, which other people's work on the machine
disturbs less. `--scratch DIR` keeps the built set there, else it is made anew.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from machine import ROOT, SHARED, describe
from PIL import Image

from dynet.data.crops import CropDataset, StepSampler, load_batches
from dynet.data.mix import TrainingTask
from dynet.data.sources import DataSource, open_mix
from dynet.degradations.gaussian_noise import gaussian_noise

sys.path.insert(0, str(ROOT))
CROP, BATCH, WARM = 128, 32, 4
CORES, WANTED = 16, 500
"""What an H200 machine has, and the crops a second that a training step there asks for."""

Batches = Iterable[Any]


class Rate(NamedTuple):
    """Crops for a second of the clock, and for a second of processor time."""

    wall: float
    core: float


def noisy(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return gaussian_noise(picture, random, sigma=25.0)


def size_of_step(_step: int) -> tuple[int, int]:
    return CROP, BATCH


def ours(location: str, task: str | None, stream: bool, cache: Path, workers: int, batches: int) -> Batches:
    tasks = [TrainingTask(name=task or "denoise", weight=1.0, degrade=None if task else noisy)]
    mix = open_mix(tasks, [DataSource(location)], seed=0, hold_out=0, exclude=(), stream=stream, cache=cache)
    crops = CropDataset(mix=mix, size_schedule=size_of_step)
    return load_batches(crops, StepSampler(0, batches, size_of_step, 0, 1), workers, pin=False)


def cut_and_flip(pictures: list[Image.Image]) -> list[Image.Image]:
    """torchvision's way to keep a pair together."""
    from torchvision.transforms import RandomCrop
    from torchvision.transforms import functional as F

    place = RandomCrop.get_params(pictures[0], (CROP, CROP))
    pictures = [F.crop(picture, *place) for picture in pictures]
    for flip in (F.hflip, F.vflip):
        if torch.rand(1) < 0.5:
            pictures = [flip(picture) for picture in pictures]
    return pictures


def spoilt(clean: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
    from torchvision.transforms import functional as F

    picture = np.asarray(clean)
    degraded = noisy(picture, np.random.default_rng(int(torch.randint(2**31, (1,)))))
    return torch.from_numpy(degraded).permute(2, 0, 1), F.pil_to_tensor(clean)


def transform(rows: dict[str, list[Image.Image]]) -> dict[str, list[torch.Tensor]]:
    """For `datasets`' with_transform, which hands over decoded pictures."""
    pairs = [spoilt(*cut_and_flip([picture.convert("RGB")])) for picture in rows["image"]]
    return {"degraded": [one for one, _ in pairs], "clean": [other for _, other in pairs]}


class Files(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A folder, or an input and a target folder, read by PIL."""

    def __init__(self, folders: list[Path]) -> None:
        self.rows = list(zip(*(sorted(folder.rglob("*.[jp]*g")) for folder in folders), strict=True))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        from torchvision.transforms import functional as F

        pictures = cut_and_flip([Image.open(path).convert("RGB") for path in self.rows[row]])
        if len(pictures) == 1:
            return spoilt(pictures[0])
        return F.pil_to_tensor(pictures[0]), F.pil_to_tensor(pictures[1])


def theirs(rows: Any, workers: int, batches: int) -> Batches:
    sampler = torch.utils.data.RandomSampler(rows, replacement=True, num_samples=batches * BATCH)
    return torch.utils.data.DataLoader(
        rows, BATCH, sampler=sampler, num_workers=workers, persistent_workers=workers > 0, worker_init_fn=_one_thread
    )


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def mapped(location: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(location, "patches", split="train").with_transform(transform)


def timed(batches: Batches) -> Rate:
    """From the batch number WARM to the last, at which the workers still live."""
    clocks: list[tuple[float, float]] = []
    for number, _ in enumerate(batches):
        if number >= WARM:
            clocks.append((time.perf_counter(), used()))
    crops = BATCH * (len(clocks) - 1)
    return Rate(*(crops / (clocks[-1][which] - clocks[0][which]) for which in range(2)))


def used() -> float:
    """Seconds of processor time of this process and of those it started that live."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = time.process_time()
    for child in multiprocessing.active_children():
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def compared(name: str, our: Callable[..., Batches], their: Callable[..., Batches], given: argparse.Namespace) -> Any:
    """One row of the table for each number of workers."""
    rows = []
    for workers in given.workers:
        rounds = [
            (timed(our(workers, given.batches)), timed(their(workers, given.batches))) for _ in range(given.rounds)
        ]
        best = [Rate(*(max(rate[at] for rate in side) for at in range(2))) for side in zip(*rounds, strict=True)]
        row = {
            "pictures": name,
            "workers": workers,
            "ours_crops_a_second": round(best[0].wall),
            "theirs_crops_a_second": round(best[1].wall),
            "ratio": round(best[0].wall / best[1].wall, 2),
            "ours_a_core": round(best[0].core),
            "theirs_a_core": round(best[1].core),
            "ratio_a_core": round(best[0].core / best[1].core, 2),
        }
        rows.append(row)
        print(
            f"{name:<22}{workers} workers: ours {row['ours_crops_a_second']:5d}/s, theirs "
            f"{row['theirs_crops_a_second']:5d}/s, {row['ratio']:.2f}x; a core {row['ours_a_core']:4d} and "
            f"{row['theirs_a_core']:4d}, {row['ratio_a_core']:.2f}x",
            flush=True,
        )
    return rows


def built(scratch: Path, photographs: int) -> Path:
    """A set out of the shared photographs, by the command; what is there from an earlier run is taken over."""
    out = scratch / "built"
    command = [Path(sys.executable).parent / "million-ird", "build", "--sources", SHARED / "photos", "--out", out]
    subprocess.run([*map(str, command), "--limit", str(photographs)], check=True, capture_output=True)
    return out


@contextlib.contextmanager
def on_a_hub(folder: Path) -> Iterator[None]:
    """A Hub of this set in a process of its own; the Hub's client here must not have been imported before."""
    context = multiprocessing.get_context("spawn")
    address: multiprocessing.Queue[str] = context.Queue()
    server = context.Process(target=_serve, args=(folder, address), daemon=True)
    server.start()
    os.environ |= {"HF_ENDPOINT": address.get(timeout=60), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    try:
        yield
    finally:
        server.kill()


def _serve(folder: Path, address: "multiprocessing.Queue[str]") -> None:
    from tests.hub_server import Hub, Repository, served

    files = [folder / "README.md", *folder.glob("*/*.parquet")]
    repository = Repository()
    repository.commit({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
    with served(Hub(repositories={"user/set": repository})) as hub:
        address.put(hub.endpoint)
        time.sleep(10**6)


def run(scratch: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    """All of the table."""
    photographs, rain = SHARED / "train" / "BSDS500" / "train", SHARED / "benchmarks" / "Rain100L"
    patches, pairs = str(built(scratch, given.photographs)), [rain / "input", rain / "target"]
    with on_a_hub(Path(patches)):
        our = partial(ours, patches, None, False, scratch)
        their = partial(theirs, mapped(patches))
        rows = compared("patches", our, their, given)
        streamed = partial(ours, "user/set", None, True, scratch / "stream")
        rows += compared("patches, streamed", streamed, their, given)
    rows += compared("JPEGs in a folder", partial(ours, str(photographs), None, False, scratch),
                     partial(theirs, Files([photographs])), given)  # fmt: skip
    rows += compared("pairs of PNGs", partial(ours, str(rain), "derain", False, scratch),
                     partial(theirs, Files(pairs)), given)  # fmt: skip
    return rows


def main() -> None:
    """Prints the table and writes `benchmarks/results/loader.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photographs", type=int, default=31)
    parser.add_argument("--scratch", type=Path)
    given = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"{SHARED}: the pictures that this benchmark runs on are not there")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="loader-") as made:
        scratch = given.scratch or Path(made)
        os.environ["HF_HOME"] = str(scratch / "home")
        rows = run(scratch, given)
    core = {row["pictures"]: row["ours_a_core"] for row in rows if row["workers"] == max(given.workers)}
    reached = {name: {"of_16_cores": CORES * rate, "enough": CORES * rate >= WANTED} for name, rate in core.items()}
    for name, told in reached.items():
        answer = "are" if told["enough"] else "are not"
        print(f"{name}: {WANTED} crops a second {answer} reached by {CORES} such cores: {told['of_16_cores']}")
    result = {
        "command": "python benchmarks/loader.py " + " ".join(sys.argv[1:]),
        "machine": describe(),
        "load_of_others": round(os.getloadavg()[2], 1),
        "rows": rows,
        "extrapolated": reached,
    }
    (ROOT / "benchmarks" / "results" / "loader.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
