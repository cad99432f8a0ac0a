"""Measures are compiled before images are measured, all of them."""

import subprocess
import sys

SCRIPT = """
import gc

import numpy as np
from numba.core.dispatcher import Dispatcher

from million_ird.images.encode import encode_jpeg, encode_png
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.registry import MEASURES
from million_ird.scan.warm_up import compile_measures


def compiled():
    dispatchers = [d for d in gc.get_objects() if isinstance(d, Dispatcher)]
    return {(d.py_func.__module__, d.py_func.__name__): len(d.signatures) for d in dispatchers}


compile_measures()
before = compiled()
random = np.random.default_rng(1)
large = random.integers(0, 256, (1200, 1300, 3), np.uint8)
tiled = np.tile(random.integers(0, 256, (50, 60, 3), np.uint8), (8, 8, 1))
even = np.full((70, 300, 3), 200, np.uint8)
for encoded in (encode_png(large), encode_jpeg(large, 50), encode_png(tiled), encode_png(even)):
    for measure in MEASURES.values():
        measure.measure(EncodedImage(encoded))
print({name: count for name, count in compiled().items() if count != before[name]})
"""


def test_nothing_is_compiled_later() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{}"
