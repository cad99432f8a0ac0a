"""Compare lossless formats for patches: bytes, time to write, time to read, per 512×512 patch of real photographs."""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from machine import describe, photographs
from PIL import Image

from million_ird.dataset.patches import cut_patches
from million_ird.images.decode import decode
from million_ird.images.encode import encode_png, encode_webp
from million_ird.images.header import read_header


def webp(method: int, quality: int) -> Callable[[np.ndarray], bytes]:
    def encode(patch: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(patch).save(buffer, "WEBP", lossless=True, method=method, quality=quality)
        return buffer.getvalue()

    return encode


def png(level: int) -> Callable[[np.ndarray], bytes]:
    def encode(patch: np.ndarray) -> bytes:
        options = [cv2.IMWRITE_PNG_COMPRESSION, level]
        return bytes(cv2.imencode(".png", cv2.cvtColor(patch, cv2.COLOR_RGB2BGR), options)[1])

    return encode


FORMATS: dict[str, Callable[[np.ndarray], bytes]] = {
    "png (shipped setting)": encode_png,
    "webp (shipped setting)": encode_webp,
    "webp, method 1, effort 30": webp(1, 30),
    "png, zlib level 1": png(1),
    "png, zlib level 9": png(9),
    "webp, method 4, effort 75": webp(4, 75),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=int, default=16)
    n_photographs = parser.parse_args().photographs
    cv2.setNumThreads(1)
    patches = []
    for path in photographs()[:n_photographs]:
        encoded = path.read_bytes()
        candidates = [patch for _, _, patch in cut_patches(decode(encoded, read_header(encoded)), 512)]
        patches += candidates[:: max(1, len(candidates) // 4)][:4]
    rows = []
    for name, encode in FORMATS.items():
        sizes, writing, reading = [], [], []
        for patch in patches:
            start = time.perf_counter()
            encoded = encode(patch)
            written = time.perf_counter()
            decoded = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
            reading.append(time.perf_counter() - written)
            writing.append(written - start)
            sizes.append(len(encoded))
            assert np.array_equal(decoded, patch), name
        row = {
            "format": name,
            "kB": statistics.mean(sizes) / 1e3,
            "write_ms": 1e3 * statistics.median(writing),
            "read_ms": 1e3 * statistics.median(reading),
        }
        rows.append(row)
        print(f"{name:<28}{row['kB']:8.1f} kB{row['write_ms']:9.1f} ms to write{row['read_ms']:8.1f} ms to read")
    result = {"machine": describe(), "patches": len(patches), "rows": rows}
    Path(__file__).parent.joinpath("results", "patch_format.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
