"""Compare the speed of curation with the loop that a user would write: the same images, the same run, one thread.

(a) ours: every default measure, official NIQE and BRISQUE, pHash and sha256
(b) the naive loop: Pillow, pyiqa's niqe and brisque, imagehash, one image after the other
(c) the cascade compared with measuring every tier, on a set in which four fifths of the pixels belong to images that a
    cheap gate drops

Instead of BRISQUE's published support vectors, both sides use the same number of random ones, so that they do the same
amount of work.
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
from million_ird.config.loading import load
from million_ird.config.recipe import Recipe
from million_ird.ledger import Row
from million_ird.scan.cascade import Cascade

WIDTH, HEIGHT = 1536, 1024
SUPPORT_VECTORS = 774
"""As many as pyiqa's published model has."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=31)
    parser.add_argument("--naive", type=int, default=6, help="images for the naive loop, which is slow")
    arguments = parser.parse_args()
    one_thread()
    models = parameters()
    images = [sized(path) for path in photographs()[: arguments.pictures]]
    print(f"{len(images)} photographs of {WIDTH}×{HEIGHT} as JPEG, one thread")

    recipe = Recipe(scores=("niqe", "brisque"), measure_all=True)
    run_ours(recipe, models, images[:1])  # compiles the kernels
    ours_seconds, by_measure = run_ours(recipe, models, images)
    bare = clock(lambda: [decode_only(encoded) for encoded in images])
    naive_seconds = naive(models, images[: arguments.naive])
    ours_rate, naive_rate = len(images) / ours_seconds, arguments.naive / naive_seconds
    print(f"(a) ours              {ours_rate:8.2f} images/s per core{1e3 / ours_rate:9.1f} ms each")
    print(f"(b) naive loop        {naive_rate:8.2f} images/s per core{1e3 / naive_rate:9.1f} ms each")
    print(f"    ratio             {ours_rate / naive_rate:8.1f}")
    print(f"    bare decode       {1e3 * bare / len(images):8.1f} ms each")
    for name, seconds in sorted(by_measure.items(), key=lambda item: -item[1]):
        print(f"    {name:<18}{1e3 * seconds / len(images):8.1f} ms each {seconds / ours_seconds:6.1%}")

    mixed = mixed_set(images)
    gated = load("million_ird.yaml").model_copy(update={"scores": ("niqe", "brisque")})
    whole, _ = run_ours(gated.model_copy(update={"measure_all": True}), models, mixed)
    cascade, _ = run_ours(gated, models, mixed)
    rates = len(mixed) / cascade, len(mixed) / whole
    print(f"(c) cascade           {rates[0]:8.2f} images/s per core, measuring all {rates[1]:.2f}")
    print(f"    ratio             {whole / cascade:8.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    result = {
        "machine": describe(),
        "pictures": len(images),
        "naive_pictures": arguments.naive,
        "ours_per_second": ours_rate,
        "naive_per_second": naive_rate,
        "ratio": ours_rate / naive_rate,
        "bare_decode_ms": 1e3 * bare / len(images),
        "ms_by_measure": {name: 1e3 * seconds / len(images) for name, seconds in by_measure.items()},
        "cascade_ratio": whole / cascade,
        "peak_MB_with_pyiqa": peak,
    }
    Path(__file__).parent.joinpath("results", "curation.json").write_text(json.dumps(result, indent=1))


def one_thread() -> None:
    import numba
    import torch

    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)  # as in every worker, see runtime/threads.py
    torch.set_num_threads(1)
    numba.set_num_threads(1)


def parameters() -> str:
    """Return a folder with NIQE's published parameters as pyiqa reads them, and random ones of BRISQUE's size."""
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
    """Return the photograph as JPEG of quality 92, turned to landscape, scaled and cropped to 1536×1024."""
    image = Image.open(path).convert("RGB")
    if image.height > image.width:
        image = image.rotate(90, expand=True)
    scale = max(WIDTH / image.width, HEIGHT / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.crop((0, 0, WIDTH, HEIGHT)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def mixed_set(images: list[bytes]) -> list[bytes]:
    """Return one fifth photographs and four fifths images of the same size that a cheap gate drops."""
    bad = []
    for number, encoded in enumerate(images):
        small = Image.open(io.BytesIO(encoded)).resize((WIDTH // 2, HEIGHT // 2))
        for quality in (8, 12):  # dropped by the quantisation tables in the header
            buffer = io.BytesIO()
            Image.open(io.BytesIO(encoded)).save(buffer, "JPEG", quality=quality)
            bad.append(buffer.getvalue())
        for shade in (40, 230):  # an image on a plain background, dropped by the thumbnail
            buffer = io.BytesIO()
            canvas = Image.new("RGB", (WIDTH, HEIGHT), (shade, shade, shade))
            canvas.paste(small, (100 + number, 100))
            canvas.save(buffer, "JPEG", quality=92)
            bad.append(buffer.getvalue())
    return images + bad


def run_ours(recipe: Recipe, models: str, images: list[bytes]) -> tuple[float, dict[str, float]]:
    cascade = Cascade(recipe, models)
    candidates = [Candidate(key=str(i), source="", uri=str(i), version="") for i in range(len(images))]
    rows: list[Row] = []
    seconds = clock(lambda: rows.extend(cascade.rows(candidates, lambda candidate: images[int(candidate.key)])))
    assert all(row.get("failure_class") is None for row in rows)
    return seconds, dict(cascade.seconds)


def naive(models: str, images: list[bytes]) -> float:
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
        for encoded in images:
            image = Image.open(io.BytesIO(encoded)).convert("RGB")
            tensor = to_tensor(image)[None]
            float(niqe(tensor)), float(brisque(tensor)), imagehash.phash(image)

    return clock(loop)


def decode_only(encoded: bytes) -> None:
    np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def clock(work: Callable[[], object]) -> float:
    start = time.process_time()  # other programs may be running
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
