"""Crops per second of our loader, compared with `datasets` or PIL with torchvision's crop and flips and a DataLoader.

`python benchmarks/loader.py`, on the shared data: 512x512 patches of 31 photographs as `million-ird build` writes them
(lossless WebP in parquet), the same streamed from a Hub on loopback, a folder of JPEGs (BSDS500's training images) and
pairs of PNGs (Rain100L). Crops of 128, batches of 32; both sides add Gaussian noise of sigma 25 to clean crops by the
same function, and none to pairs. Ours draws all eight orientations, the other side flips.

Rounds of the two sides alternate, and the best of each counts. The rate is per second of the clock; that of a core is
per second of processor time of the process and its workers, which depends less on other work on the machine.
`--scratch DIR` keeps the built dataset there; otherwise it is built again.
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
CORES, NEEDED_RATE = 16, 500
"""The cores of an H200 machine, and the crops per second that training needs there."""

Batches = Iterable[Any]


class Rate(NamedTuple):
    """Crops per second of the clock, and per second of processor time."""

    wall: float
    core: float


def degrade(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return gaussian_noise(image, random, sigma=25.0)


def size_of_step(_step: int) -> tuple[int, int]:
    return CROP, BATCH


def ours(location: str, task: str | None, stream: bool, cache: Path, workers: int, batches: int) -> Batches:
    tasks = [TrainingTask(name=task or "denoise", weight=1.0, degrade=None if task else degrade)]
    mix = open_mix(tasks, [DataSource(location)], seed=0, hold_out=0, exclude=(), stream=stream, cache=cache)
    crops = CropDataset(mix=mix, size_schedule=size_of_step)
    return load_batches(crops, StepSampler(0, batches, size_of_step, 0, 1), workers, pin=False)


def crop_and_flip(images: list[Image.Image]) -> list[Image.Image]:
    """Crop and flip the images of a pair in the same way, as torchvision recommends."""
    from torchvision.transforms import RandomCrop
    from torchvision.transforms import functional as F

    box = RandomCrop.get_params(images[0], (CROP, CROP))
    images = [F.crop(image, *box) for image in images]
    for flip in (F.hflip, F.vflip):
        if torch.rand(1) < 0.5:
            images = [flip(image) for image in images]
    return images


def degraded_pair(clean: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
    from torchvision.transforms import functional as F

    degraded = degrade(np.asarray(clean), np.random.default_rng(int(torch.randint(2**31, (1,)))))
    return torch.from_numpy(degraded).permute(2, 0, 1), F.pil_to_tensor(clean)


def transform(rows: dict[str, list[Image.Image]]) -> dict[str, list[torch.Tensor]]:
    """Transform decoded images, for `with_transform` of `datasets`."""
    pairs = [degraded_pair(*crop_and_flip([image.convert("RGB")])) for image in rows["image"]]
    return {"degraded": [degraded for degraded, _ in pairs], "clean": [clean for _, clean in pairs]}


class Files(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A folder, or an input and a target folder, read by PIL."""

    def __init__(self, folders: list[Path]) -> None:
        self.rows = list(zip(*(sorted(folder.rglob("*.[jp]*g")) for folder in folders), strict=True))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        from torchvision.transforms import functional as F

        images = crop_and_flip([Image.open(path).convert("RGB") for path in self.rows[row]])
        if len(images) == 1:
            return degraded_pair(images[0])
        return F.pil_to_tensor(images[0]), F.pil_to_tensor(images[1])


def theirs(rows: Any, workers: int, batches: int) -> Batches:
    sampler = torch.utils.data.RandomSampler(rows, replacement=True, num_samples=batches * BATCH)
    return torch.utils.data.DataLoader(
        rows, BATCH, sampler=sampler, num_workers=workers, persistent_workers=workers > 0, worker_init_fn=_one_thread
    )


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def load_mapped(location: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(location, "patches", split="train").with_transform(transform)


def measure_rate(batches: Batches) -> Rate:
    """Return the rate from batch number WARM to the last, while the workers are alive."""
    clocks: list[tuple[float, float]] = []
    for number, _ in enumerate(batches):
        if number >= WARM:
            clocks.append((time.perf_counter(), processor_seconds()))
    crops = BATCH * (len(clocks) - 1)
    return Rate(*(crops / (clocks[-1][clock] - clocks[0][clock]) for clock in range(2)))


def processor_seconds() -> float:
    """Return the processor time in seconds of this process and of its living children."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = time.process_time()
    for child in multiprocessing.active_children():
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def compare(
    name: str, our: Callable[..., Batches], their: Callable[..., Batches], arguments: argparse.Namespace
) -> Any:
    """Return one row of the table for each number of workers."""
    rows = []
    for workers in arguments.workers:
        rounds = [
            (measure_rate(our(workers, arguments.batches)), measure_rate(their(workers, arguments.batches)))
            for _ in range(arguments.rounds)
        ]
        best = [Rate(*(max(rate[clock] for rate in side) for clock in range(2))) for side in zip(*rounds, strict=True)]
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


def build_dataset(scratch: Path, photographs: int) -> Path:
    """Build a dataset of the shared photographs by the command, or continue an earlier build."""
    out = scratch / "built"
    command = [Path(sys.executable).parent / "million-ird", "build", "--sources", SHARED / "photos", "--out", out]
    subprocess.run([*map(str, command), "--limit", str(photographs)], check=True, capture_output=True)
    return out


@contextlib.contextmanager
def hub_with(folder: Path) -> Iterator[None]:
    """Serve a Hub with this dataset in another process; call it before importing the Hub's client here."""
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


def run(scratch: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return all rows of the table."""
    photographs, rain = SHARED / "train" / "BSDS500" / "train", SHARED / "benchmarks" / "Rain100L"
    patches, pairs = str(build_dataset(scratch, arguments.photographs)), [rain / "input", rain / "target"]
    with hub_with(Path(patches)):
        our = partial(ours, patches, None, False, scratch)
        their = partial(theirs, load_mapped(patches))
        rows = compare("patches", our, their, arguments)
        streamed = partial(ours, "user/set", None, True, scratch / "stream")
        rows += compare("patches, streamed", streamed, their, arguments)
    rows += compare("JPEGs in a folder", partial(ours, str(photographs), None, False, scratch),
                     partial(theirs, Files([photographs])), arguments)  # fmt: skip
    rows += compare("pairs of PNGs", partial(ours, str(rain), "derain", False, scratch),
                     partial(theirs, Files(pairs)), arguments)  # fmt: skip
    return rows


def main() -> None:
    """Print the table and write `benchmarks/results/loader.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photographs", type=int, default=31)
    parser.add_argument("--scratch", type=Path)
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"{SHARED}: the images that this benchmark needs are not there")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="loader-") as folder:
        scratch = arguments.scratch or Path(folder)
        os.environ["HF_HOME"] = str(scratch / "home")
        rows = run(scratch, arguments)
    core = {row["pictures"]: row["ours_a_core"] for row in rows if row["workers"] == max(arguments.workers)}
    reached = {
        name: {"of_16_cores": CORES * rate, "enough": CORES * rate >= NEEDED_RATE} for name, rate in core.items()
    }
    for name, rate in reached.items():
        answer = "reach" if rate["enough"] else "do not reach"
        print(f"{name}: {CORES} such cores {answer} {NEEDED_RATE} crops per second: {rate['of_16_cores']}")
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
