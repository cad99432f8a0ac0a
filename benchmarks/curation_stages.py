"""Processor time of curating an image, stage by stage, beside decoding it, beside an earlier tree and beside peers.

For each set of images: every default measure, the signature and the small view, then writing (decoding again, patches,
lossless WebP), on one thread; and, as `stopped`, measuring as a build does, which stops at the first gate that drops an
image (gates on size are off). The limit is a decode by Pillow and one pass over the pixels (luma, Laplacian, its
variance). Each stage of an image is the least of some rounds, in processor time, since other programs may be running.

    python benchmarks/curation_stages.py --beside ../earlier-checkout

measures another tree of this repository in the same run, set by set in turn. pyiqa, imagehash and cleanvision are
measured where they are installed.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from machine import ROOT, SHARED, describe
from PIL import Image

SETS = {"small photographs": "train/BSDS500/test", "negatives": "negatives", "photographs": "photos"}
RESULT = Path(__file__).parent / "results" / "curation_stages.json"
PYIQA_PICTURES = 1
"""Of each set: a photograph of 6 megapixels takes it a quarter of a minute."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=30, help="of each set, spread over it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, help="another tree of this repository")
    parser.add_argument("--no-peers", action="store_true", help="leave out the other programs")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="others keep their earlier figures")
    parser.add_argument("--set", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.set:
        print(json.dumps(measured(arguments.set, arguments.pictures, arguments.rounds)))
        return
    if not (SHARED / "photos").is_dir():
        sys.exit(f"{SHARED}: the images that this benchmark needs are not there")
    earlier = json.loads(RESULT.read_text())["sets"] if RESULT.exists() else {}
    result: dict[str, Any] = {"machine": describe(), "rounds": arguments.rounds, "sets": earlier}
    for name in arguments.sets:
        now = in_a_process(ROOT, name, arguments)
        before = in_a_process(arguments.beside, name, arguments) if arguments.beside else None
        result["sets"][name] = row = summary(now, before)
        row["peers"] = {} if arguments.no_peers else peers(name, arguments.pictures)
        show(name, row)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")


def in_a_process(tree: Path, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run this script for one set with the package of a tree."""
    command = [sys.executable, __file__, "--set", name, "--pictures", str(arguments.pictures)]
    environment = os.environ | {"PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--rounds", str(arguments.rounds)], env=environment, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def images(name: str, count: int) -> list[bytes]:
    """Return files of a set, spread over it, that Pillow reads."""
    files = sorted(path for path in (SHARED / SETS[name]).rglob("*") if path.is_file())
    found = []
    for path in files[:: max(1, len(files) // count)][:count]:
        with contextlib.suppress(OSError):
            Image.open(path).convert("RGB")
            found.append(path.read_bytes())
    return found


def measured(name: str, count: int, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of each stage, mean over the images of a set, with the package on the path."""
    from million_ird.scan.warm_up import compile_measures

    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)  # as in every worker, see runtime/threads.py
    compile_measures()
    stages: defaultdict[str, float] = defaultdict(float)
    encoded = images(name, count)
    curate(encoded[0], Clock())
    for one in encoded:
        clocks = [Clock() for _ in range(rounds)]
        for clock in clocks:
            curate(one, clock)
        for stage in clocks[0].seconds:
            stages[stage] += min(clock.seconds[stage] for clock in clocks)
    pixels = sum(Image.open(io.BytesIO(one)).width * Image.open(io.BytesIO(one)).height for one in encoded)
    milliseconds = {stage: 1e3 * seconds / len(encoded) for stage, seconds in stages.items()}
    return {"images": len(encoded), "megapixels": pixels / len(encoded) / 1e6, "ms": milliseconds}


class Clock:
    """Processor time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], Any]) -> Any:
        """Run and return what it returns; add what it took to the stage."""
        start = time.process_time()
        done = work()
        self.seconds[stage] = self.seconds.get(stage, 0) + time.process_time() - start
        return done


def curate(encoded: bytes, clock: Clock) -> None:
    """Take one image through the stages of a build, and through the limit."""
    from million_ird.dataset.patches import cut_patches, measure_patch
    from million_ird.images.encode import encode_webp
    from million_ird.images.encoded_image import EncodedImage
    from million_ird.measures.registry import MEASURES
    from million_ird.measures.signature import compute_signature
    from million_ird.measures.view import pack_view

    clock.time("limit: decode", lambda: np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")))
    pixels = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    clock.time("limit: one pass", lambda: one_pass(pixels))
    image = EncodedImage(encoded)
    clock.time("header", lambda: (image.sha256, image.header))
    clock.time("thumbnail", lambda: image.thumbnail)
    clock.time("pixels", lambda: (image.pixels, image.luma))
    for name, measure in MEASURES.items():
        clock.time(name, partial(measure.measure, image))
    clock.time("signature", lambda: compute_signature(image))
    clock.time("view", lambda: pack_view(image))
    again = EncodedImage(encoded)
    clock.time("writing: decode", lambda: again.pixels)
    patches = [patch for _, _, patch in clock.time("writing: patches", lambda: list(cut_patches(again.pixels, 512)))]
    clock.time("writing: patches", lambda: [measure_patch(patch) for patch in patches])
    clock.time("writing: WebP", lambda: [encode_webp(patch) for patch in patches])
    clock.time("stopped", lambda: measured_by_gates(encoded))


def measured_by_gates(encoded: bytes) -> None:
    """Measure an image until a gate of the shipped recipe drops it."""
    from million_ird.candidate import Candidate
    from million_ird.scan.cascade import Cascade

    candidate = Candidate(key="one", source="", uri="one", version="")
    list(Cascade(without_size_gates()).rows([candidate], lambda _: encoded))


@cache
def without_size_gates() -> Any:
    """Return the shipped recipe, without the gates on size."""
    from labelled_table import SIZE_FIELDS

    from million_ird.config.loading import load

    recipe = load("million_ird.yaml")
    gates = tuple(gate for gate in recipe.gates if gate.field not in SIZE_FIELDS)
    return recipe.model_copy(update={"gates": gates})


def one_pass(pixels: np.ndarray[Any, Any]) -> Any:
    return cv2.meanStdDev(cv2.Laplacian(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.CV_16S))


def summary(now: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """Return stages, totals and ratios to the limit."""
    rows: dict[str, Any] = {"images": now["images"], "megapixels": now["megapixels"]}
    for tree, found in {"now": now, "before": before}.items():
        if found is not None:
            stages = found["ms"]
            limit = sum(ms for stage, ms in stages.items() if stage.startswith("limit"))
            writing = sum(ms for stage, ms in stages.items() if stage.startswith("writing"))
            measuring = sum(stages.values()) - limit - writing - stages["stopped"]
            totals = {"limit": limit, "measuring": measuring, "writing": writing, "ratio": measuring / limit}
            rows[tree] = {"totals": totals, "stages": stages}
    if before is not None:
        first, last = rows["before"]["totals"], rows["now"]["totals"]
        rows["measuring_gain"] = first["measuring"] / last["measuring"]
        rows["build_gain"] = (first["measuring"] + first["writing"]) / (last["measuring"] + last["writing"])
    return rows


def peers(name: str, count: int) -> dict[str, float]:
    """Return the milliseconds that other programs take for an image of the same set; only those that are installed."""
    encoded, found = images(name, count), dict[str, float]()
    if importlib.util.find_spec("imagehash"):
        import imagehash

        found["imagehash.phash"] = mean_ms(lambda one: imagehash.phash(Image.open(io.BytesIO(one))), encoded)
    if importlib.util.find_spec("cleanvision"):
        found["cleanvision"] = cleanvision(encoded)
    if importlib.util.find_spec("pyiqa"):
        found["pyiqa NIQE and BRISQUE, imagehash"] = pyiqa_loop(encoded)
    return found


def mean_ms(work: Callable[[bytes], Any], encoded: list[bytes]) -> float:
    start = time.process_time()
    for one in encoded:
        work(one)
    return 1e3 * (time.process_time() - start) / len(encoded)


def cleanvision(encoded: list[bytes]) -> float:
    from cleanvision import Imagelab

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        for number, one in enumerate(encoded):
            suffix = (Image.open(io.BytesIO(one)).format or "png").lower()
            Path(folder, f"{number:04d}.{suffix}").write_bytes(one)
        lab = Imagelab(data_path=folder)
        return mean_ms(lambda _: lab.find_issues(n_jobs=1, verbose=False), [b""]) / len(encoded)


def pyiqa_loop(encoded: list[bytes]) -> float:
    """Return the milliseconds of the loop that a user would write, for some of the images."""
    import torch
    from curation import naive, parameters

    torch.set_num_threads(1)
    some = [one for one in encoded if min(Image.open(io.BytesIO(one)).size) >= 200][:PYIQA_PICTURES]
    return 1e3 * naive(parameters(), some) / len(some)


def show(name: str, row: dict[str, Any]) -> None:
    print(f"\n{row['images']} {name}, {row['megapixels']:.2f} megapixels: ms of processor time each")
    trees = [tree for tree in ("before", "now") if tree in row]
    print(f"{'':34}" + "".join(f"{tree:>10}" for tree in trees))
    for stage in row["now"]["stages"]:
        found = [row[tree]["stages"].get(stage) for tree in trees]  # the earlier tree may lack a measure
        print(f"  {stage:32}" + "".join(f"{'–':>10}" if ms is None else f"{ms:10.2f}" for ms in found))
    for total in row["now"]["totals"]:
        print(f"{total:34}" + "".join(f"{row[tree]['totals'][total]:10.2f}" for tree in trees))
    for gain in ("measuring_gain", "build_gain"):
        if gain in row:
            print(f"{gain.replace('_', ' '):34}{row[gain]:20.2f}")
    for peer, ms in row["peers"].items():
        print(
            f"{peer:34}{ms:20.1f}   measuring is {ms / row['now']['totals']['measuring']:.1f} times as fast", flush=True
        )


if __name__ == "__main__":
    main()
