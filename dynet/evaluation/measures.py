"""What is measured on every image by a protocol itself, as opposed to metrics that a user adds."""

from collections.abc import Callable
from dataclasses import dataclass

from dynet.evaluation.metrics import FloatImage, psnr, ssim


@dataclass(frozen=True, slots=True)
class ImageMeasure:
    """A number of an image (H, W, 3) in [0, 1] and its clean reference of the same shape."""

    name: str
    """A key of results.json and a column of per_image.csv."""
    measure: Callable[[FloatImage, FloatImage], float]


PUBLISHED_MEASURES = (ImageMeasure("psnr", psnr), ImageMeasure("ssim", ssim))
