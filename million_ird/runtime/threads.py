"""How OpenCV behaves where pictures are measured."""

import contextlib
from collections.abc import Iterator

import cv2


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """One thread a worker, and OpenCV's own code instead of Intel's.

    The parallelism is between units, and OpenCV's pool would fight it. Intel's primitives round differently with where
    in memory their input happens to lie, so that one picture would have other numbers from run to run.
    """
    threads, primitives = cv2.getNumThreads(), cv2.ipp.useIPP()
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        cv2.ipp.setUseIPP(primitives)
