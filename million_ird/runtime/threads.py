"""Settings of OpenCV where images are measured."""

import contextlib
from collections.abc import Iterator

import cv2


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Run OpenCV with one thread per worker, and with its own code instead of Intel's IPP.

    Units run in parallel, and OpenCV's thread pool would compete with them. IPP rounds differently depending on the
    address of its input, so that one image would have different numbers from run to run.
    """
    threads, primitives = cv2.getNumThreads(), cv2.ipp.useIPP()
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        cv2.ipp.setUseIPP(primitives)
