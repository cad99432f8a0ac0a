"""What a process compiles before it measures is all that measuring needs."""

import subprocess
import sys

CODE = """
import gc

import numpy as np
from numba.core.dispatcher import Dispatcher

from million_ird.images.encode import encode_jpeg, encode_png
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.registry import MEASURES
from million_ird.scan.warm_up import compile_measures


def signatures():
    found = [one for one in gc.get_objects() if isinstance(one, Dispatcher)]
    return {(one.py_func.__module__, one.py_func.__name__, str(types)) for one in found for types in one.signatures}


compile_measures()
before = signatures()
random = np.random.default_rng(1)
images = [np.full((70, 300, 3), 200, np.uint8), np.tile(random.integers(0, 256, (50, 60, 3), np.uint8), (8, 8, 1))]
images.append(random.integers(0, 256, (1200, 1300, 3), np.uint8))
for height, width in ((600, 700), (301, 400), (300, 401), (501, 503)):
    coarse = random.integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), np.uint8)
    images.append(np.ascontiguousarray(np.kron(coarse, np.ones((3, 3, 1), np.uint8))[:height, :width]))
for pixels in images:
    for encoded in (encode_png(pixels), encode_jpeg(pixels, 50), encode_jpeg(pixels, 80)):
        for measure in MEASURES.values():
            measure.measure(EncodedImage(encoded))
assert before
print(sorted(signatures() - before))
"""


def test_no_image_needs_more_to_be_compiled() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
