"""Curation: ours beside the loop that a user would write, on the same pictures in the same run, one thread.

(a) ours: every default measure, official NIQE and BRISQUE, pHash and sha256
(b) the naive loop: Pillow, pyiqa's niqe and brisque, imagehash, one picture after the other
(c) the cascade against ours with every tier measured, on a set in which four fifths of the pixels belong to pictures
    that a cheap gate drops

BRISQUE's published weights are an SVM of pyiqa's; where they are not at hand, both sides get the same made-up support
vectors of the same number, so that both pay for the same work.
"""

import argparse
import io
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from machine import SHARED, describe, photographs
from PIL import Image

from million_ird.candidate import Candidate
from million_ird.config.recipe import Recipe, load
from million_ird.ledger import Row
from million_ird.scan.cascade import Cascade

WIDTH, HEIGHT = 1536, 1024
SUPPORT_VECTORS = 774
"""As many as pyiqa's published model has."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=31)
    parser.add_argument("--naive", type=int, default=6, help="pictures that the naive loop gets: it is slow")
    arguments = parser.parse_args()
    one_thread()
    models = parameters()
    pictures = [sized(path) for path in photographs()[: arguments.pictures]]
    print(f"{len(pictures)} photographs of {WIDTH}×{HEIGHT} as JPEG, one thread")

    recipe = Recipe(scores=("niqe", "brisque"), measure_all=True)
    run_ours(recipe, models, pictures[:1])  # compiles what is compiled
    ours_seconds, by_measure = run_ours(recipe, models, pictures)
    bare = clock(lambda: [decode_only(encoded) for encoded in pictures])
    naive_seconds = naive(models, pictures[: arguments.naive])
    ours_rate, naive_rate = len(pictures) / ours_seconds, arguments.naive / naive_seconds
    print(f"(a) ours              {ours_rate:8.2f} images/s per core{1e3 / ours_rate:9.1f} ms each")
    print(f"(b) naive loop        {naive_rate:8.2f} images/s per core{1e3 / naive_rate:9.1f} ms each")
    print(f"    ratio             {ours_rate / naive_rate:8.1f}")
    print(f"    bare decode       {1e3 * bare / len(pictures):8.1f} ms each")
    for name, seconds in sorted(by_measure.items(), key=lambda item: -item[1]):
        print(f"    {name:<18}{1e3 * seconds / len(pictures):8.1f} ms each {seconds / ours_seconds:6.1%}")

    mixed = mixed_set(pictures)
    gated = load("million_ird.yaml").model_copy(update={"scores": ("niqe", "brisque")})
    whole, _ = run_ours(gated.model_copy(update={"measure_all": True}), models, mixed)
    cascade, _ = run_ours(gated, models, mixed)
    rates = len(mixed) / cascade, len(mixed) / whole
    print(f"(c) cascade           {rates[0]:8.2f} images/s per core, measuring all {rates[1]:.2f}")
    print(f"    ratio             {whole / cascade:8.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    result = {
        "machine": describe(),
        "pictures": len(pictures),
        "naive_pictures": arguments.naive,
        "ours_per_second": ours_rate,
        "naive_per_second": naive_rate,
        "ratio": ours_rate / naive_rate,
        "bare_decode_ms": 1e3 * bare / len(pictures),
        "ms_by_measure": {name: 1e3 * seconds / len(pictures) for name, seconds in by_measure.items()},
        "cascade_ratio": whole / cascade,
        "peak_MB_with_pyiqa": peak,
    }
    Path(__file__).parent.joinpath("results", "curation.json").write_text(json.dumps(result, indent=1))


def one_thread() -> None:
    import numba
    import torch

    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)  # as every worker runs, see execution.py
    torch.set_num_threads(1)
    numba.set_num_threads(1)


def parameters() -> str:
    """A folder with NIQE's published numbers as pyiqa reads them and, where absent, an SVM of BRISQUE's size."""
    import torch
    from scipy.io import savemat

    folder = Path(tempfile.mkdtemp(prefix="models-"))
    numbers = np.load(SHARED / "params" / "niqe_pris_params.npz")
    savemat(
        folder / "niqe_modelparameters.mat",
        {"mu_prisparam": numbers["mu_pris_param"], "cov_prisparam": numbers["cov_pris_param"]},
    )
    random = np.random.default_rng(0)
    vectors = random.uniform(-1, 1, (SUPPORT_VECTORS, 36))
    weights = torch.from_numpy(random.normal(0, 100, (SUPPORT_VECTORS, 1))).float()
    torch.save((weights, torch.from_numpy(vectors).float()), folder / "brisque_svm_weights.pth")
    return str(folder)


def sized(path: Path) -> bytes:
    """The photograph cropped to 3:2 or 2:3 and shrunk to 1536×1024, as JPEG of quality 92."""
    picture = Image.open(path).convert("RGB")
    if picture.height > picture.width:
        picture = picture.rotate(90, expand=True)
    scale = max(WIDTH / picture.width, HEIGHT / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.crop((0, 0, WIDTH, HEIGHT)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def mixed_set(pictures: list[bytes]) -> list[bytes]:
    """One fifth photographs, four fifths (of the pixels, too) pictures of the same size that a cheap gate drops."""
    bad = []
    for number, encoded in enumerate(pictures):
        small = Image.open(io.BytesIO(encoded)).resize((WIDTH // 2, HEIGHT // 2))
        for quality in (8, 12):  # the quantisation tables in the header say it
            buffer = io.BytesIO()
            Image.open(io.BytesIO(encoded)).save(buffer, "JPEG", quality=quality)
            bad.append(buffer.getvalue())
        for shade in (40, 230):  # a picture on a plain background: the thumbnail says it
            buffer = io.BytesIO()
            canvas = Image.new("RGB", (WIDTH, HEIGHT), (shade, shade, shade))
            canvas.paste(small, (100 + number, 100))
            canvas.save(buffer, "JPEG", quality=92)
            bad.append(buffer.getvalue())
    return pictures + bad


def run_ours(recipe: Recipe, models: str, pictures: list[bytes]) -> tuple[float, dict[str, float]]:
    cascade = Cascade(recipe, models)
    candidates = [Candidate(key=str(i), source="", uri=str(i), version="") for i in range(len(pictures))]
    rows: list[Row] = []
    seconds = clock(lambda: rows.extend(cascade.rows(candidates, lambda c: pictures[int(c.key)])))
    assert all(row.get("failure_class") is None for row in rows)
    return seconds, dict(cascade.seconds)


def naive(models: str, pictures: list[bytes]) -> float:
    import imagehash
    import pyiqa
    import torch
    from torchvision.transforms.functional import to_tensor

    niqe = pyiqa.create_metric(
        "niqe", device=torch.device("cpu"), pretrained_model_path=f"{models}/niqe_modelparameters.mat"
    )
    brisque = pyiqa.create_metric(
        "brisque", device=torch.device("cpu"), pretrained_model_path=f"{models}/brisque_svm_weights.pth"
    )

    def loop() -> None:
        for encoded in pictures:
            picture = Image.open(io.BytesIO(encoded)).convert("RGB")
            tensor = to_tensor(picture)[None]
            float(niqe(tensor)), float(brisque(tensor)), imagehash.phash(picture)

    return clock(loop)


def decode_only(encoded: bytes) -> None:
    np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def clock(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
