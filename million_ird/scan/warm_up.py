"""Compiling of measures: once on a machine, in one process, before several workers would each do it."""

import functools
import threading

import numpy as np

from million_ird.images.distinct_colours import convert_distinct
from million_ird.images.encode import encode_jpeg, encode_png
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.palette import count_near
from million_ird.measures.registry import MEASURES
from million_ird.measures.signature import compute_signature
from million_ird.measures.tiling_kernels import square_means
from million_ird.runtime.progress import Listener
from million_ird.sources.keyset import KeySet

SECONDS = 25
"""What compiling takes on two cores. Machine code that is cached on disk is loaded in less than `SILENT`."""
SILENT = 3.0
_POINTS, _SIDE, _QUALITY = 32, 256, 90


def prepare_measures(listener: Listener | None = None) -> None:
    """Compile the measures, or load them from numba's cache; where it takes longer than a moment, say so.

    Args:
        listener: Receives `preparing measures, once: 25 s`.
    """
    said = threading.Event()

    def say() -> None:
        if listener:
            said.set()
            listener.stage("preparing measures, once", SECONDS, "s")

    timer = threading.Timer(SILENT, say)
    timer.daemon = True
    timer.start()
    try:
        compile_measures()
    finally:
        timer.cancel()
    if listener and said.is_set():
        listener.advance(SECONDS)


@functools.cache
def compile_measures() -> None:
    """Measure one image of noise by all measures, and decode it as JPEG, so that inner loops are compiled, cached."""
    # An odd height, since images are halved by compiled code only where a side is odd.
    noise = np.random.default_rng(0).integers(0, 256, (257, 256, 3), dtype=np.uint8)
    image = EncodedImage(encode_png(noise))
    for measure in MEASURES.values():
        measure.measure(image)
    compute_signature(image, _POINTS, _SIDE)
    _ = EncodedImage(encode_jpeg(noise, _QUALITY)).pixels
    square_means(noise[..., 0], 3)  # of larger images only
    count_near(np.zeros((3, 1)), 1.0, 2.0)  # of images with flat blocks only
    convert_distinct(noise, lambda colours: colours)
    KeySet().add(["0" * 32])
