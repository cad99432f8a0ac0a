"""Evaluation protocols: how images are cropped, how noise is added, and how the output is rounded.

Everything else is the same in every protocol: 8-bit RGB, PSNR and SSIM over all three channels with a data range of 1,
the mean over images.
"""

import unicodedata
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from dynet.runtime.rng import generator

Image8 = npt.NDArray[np.uint8]

NOISE_SEED = 0
"""The same for all: the noise belongs to the benchmark, not to a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationProtocol:
    """The rules of one protocol; the field names are keys of results.json."""

    name: str

    crop_to: int
    """Images are cropped at the centre to the largest multiple of this, in pixels; 1 leaves them whole.

    A network that needs sides of some multiple pads by reflection itself (DyNet: of 8).
    """

    noise_rounded: bool
    """True: noisy levels are rounded to 8 bits. False: truncated, which darkens a noisy image by half a level."""

    output_quantised: bool
    """True: the output is rounded to 8 bits, as its PNG would be. False: it stays float."""

    keeps_unchanged: bool = False
    """True: as `dynet restore`, which keeps the input where hardly anything changes. False: as the network gives it."""

    def crop_centre(self, image: Image8) -> Image8:
        """Return the centre of `image` (H, W, 3) by `crop_to`; a side shorter than `crop_to` becomes empty."""
        (top, bottom), (left, right) = (_centre(side, self.crop_to) for side in image.shape[:2])
        return image[top:bottom, left:right]

    def add_noise(self, clean: Image8, stem: str, sigma: float) -> Image8:
        """Return a clean image with Gaussian noise, clipped, in 8 bits.

        The noise depends on the file's stem, sigma and the size of the image alone: it is the same in every protocol
        and every folder, whatever else is evaluated.

        Args:
            clean: (H, W, 3), before any crop.
            stem: Name of the file without its suffix.
            sigma: Standard deviation in levels of 255.
        """
        levels = np.clip(clean + benchmark_noise(clean.shape, stem, sigma), 0, 255)
        return (np.rint(levels) if self.noise_rounded else levels).astype(np.uint8)

    def postprocess(self, restored: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the network's output, of any shape, as it is measured: clipped to [0, 1], rounded if quantised."""
        clipped = np.clip(restored, 0, 1)
        return as_float(np.rint(clipped * 255)) if self.output_quantised else clipped


AIO_PAPER = EvaluationProtocol(name="aio-paper", crop_to=16, noise_rounded=False, output_quantised=False)
STRICT = EvaluationProtocol(name="strict", crop_to=1, noise_rounded=True, output_quantised=True)
HARM = replace(STRICT, name="harm", keeps_unchanged=True)

# aio-paper does what the test scripts of PromptIR, DyNet and AdaIR do. strict measures what a user gets: no pixel is
# left out, the noise has mean zero, and the result is the file that would be saved.
PROTOCOLS = MappingProxyType({protocol.name: protocol for protocol in (AIO_PAPER, STRICT, HARM)})


def benchmark_noise(shape: tuple[int, ...], stem: str, sigma: float) -> npt.NDArray[np.float64]:
    """Return the Gaussian noise that belongs to an image of this shape, neither clipped nor rounded.

    Args:
        shape: Of the image, before any crop.
        stem: Name of its file without the suffix.
        sigma: Standard deviation in levels of 255.
    """
    # File systems store an accented letter in two forms, which are the same name, and bytes that are not text.
    key = unicodedata.normalize("NFC", stem).encode(errors="backslashreplace").decode()
    return sigma * generator(NOISE_SEED, f"benchmark noise/{float(sigma)}/{key}").standard_normal(shape)


def as_float(levels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Convert levels from 0 to 255, of any shape and type, to float32 in [0, 1]."""
    values: npt.NDArray[np.float32] = np.divide(levels, 255, dtype=np.float32)
    return values


def _centre(side: int, multiple: int) -> tuple[int, int]:
    """Return start and stop of the centre of a side; the larger part of an odd rest is cut off at the end."""
    rest = side % multiple
    return rest // 2, side - rest + rest // 2
