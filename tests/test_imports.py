"""Importing the packages changes no setting of the program that imports them, or of other libraries."""

import json
import subprocess
import sys

import pytest

SNAPSHOT = """
import datasets, faulthandler, gc, json, locale, logging, multiprocessing, os, pkgutil, signal, socket, sys
import cv2, numpy, PIL.Image, PIL.ImageFile, PIL.PngImagePlugin, pyarrow, torch

def settings():
    return {
        "Image.MAX_IMAGE_PIXELS": PIL.Image.MAX_IMAGE_PIXELS,
        "ImageFile.LOAD_TRUNCATED_IMAGES": PIL.ImageFile.LOAD_TRUNCATED_IMAGES,
        "ImageFile.MAXBLOCK": PIL.ImageFile.MAXBLOCK,
        "PngImagePlugin.MAX_TEXT_CHUNK": PIL.PngImagePlugin.MAX_TEXT_CHUNK,
        "cv2 threads": cv2.getNumThreads(),
        "torch threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "torch type": str(torch.get_default_dtype()),
        "torch deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch precision": torch.get_float32_matmul_precision(),
        "torch seed": torch.initial_seed(),
        "numpy errors": numpy.geterr(),
        "numpy printing": str(numpy.get_printoptions()),
        "arrow threads": [pyarrow.cpu_count(), pyarrow.io_thread_count()],
        "datasets": [datasets.is_caching_enabled(), datasets.are_progress_bars_disabled()],
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "sockets": socket.getdefaulttimeout(),
        "logging": [logging.getLogger().level, len(logging.getLogger().handlers)],
        "start": multiprocessing.get_start_method(allow_none=True),
        "recursion": sys.getrecursionlimit(),
        "collector": [gc.isenabled(), gc.get_threshold()],
        "locale": locale.setlocale(locale.LC_ALL),
        "folder": os.getcwd(),
        "faults": faulthandler.is_enabled(),
        "hooks": [str(sys.excepthook), str(sys.displayhook)],
    }

before = settings()
for package in PACKAGES:
    imported = __import__(package)
    for module in pkgutil.walk_packages(imported.__path__, package + "."):
        if not module.name.endswith("__main__"):
            __import__(module.name)
after = settings()
print(json.dumps({name: [before[name], after[name]] for name in before if before[name] != after[name]}))
"""


@pytest.mark.parametrize("package", ["million_ird", "dynet"])
def test_importing_every_module_changes_no_setting(package: str) -> None:
    code = SNAPSHOT.replace("PACKAGES", repr([package]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {}
