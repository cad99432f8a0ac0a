"""How a benchmark is put to a network: what is cropped, how noise is put on, what happens to the output.

Everything else is the same in every protocol: 8-bit RGB, whole pictures, PSNR and SSIM over all three channels with a
data range of 1, the mean over pictures.
"""

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dynet.runtime.rng import generator

Image8 = npt.NDArray[np.uint8]

NOISE_SEED = 0
"""One for all: the noise of a benchmark is part of the benchmark, not of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationProtocol:
    """The rules by which one set of figures is made."""

    name: str

    crop_to: int
    """Pictures are cut at the centre to the largest multiple of this, in pixels; 1 leaves them whole.

    A network that needs a multiple of something pads by reflection inside (DyNet: of 8).
    """

    noise_rounded: bool
    """True: noisy levels are rounded to 8 bits. False: cut, which darkens a noisy picture by half a level."""

    output_quantised: bool
    """True: the output is rounded to 8 bits, as the PNG of it would be. False: it stays float."""

    def cropped(self, image: Image8) -> Image8:
        """image: (H, W, 3) to its centre by `crop_to`; a side shorter than that comes out empty."""
        (top, bottom), (left, right) = (_centre(side, self.crop_to) for side in image.shape[:2])
        return image[top:bottom, left:right]

    def noisy(self, clean: Image8, stem: str, sigma: float) -> Image8:
        """clean: (H, W, 3), uncropped, with noise of standard deviation `sigma` levels of 255, clipped, in 8 bits.

        The noise is a function of the file's stem, sigma and the picture's size alone: the same in every protocol and
        every folder, whatever else is evaluated before or beside it.
        """
        # File systems store accented letters in two forms, which are one name, and bytes that are no letters.
        key = unicodedata.normalize("NFC", stem).encode(errors="backslashreplace").decode()
        noise = generator(NOISE_SEED, f"benchmark noise/{float(sigma)}/{key}").standard_normal(clean.shape)
        levels = np.clip(clean + sigma * noise, 0, 255)
        return (np.rint(levels) if self.noise_rounded else levels).astype(np.uint8)

    def output(self, restored: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """restored: float of any shape as the network gives it, to what is measured: in [0, 1]."""
        clipped = np.clip(restored, 0, 1)
        return as_float(np.rint(clipped * 255)) if self.output_quantised else clipped


AIO_PAPER = EvaluationProtocol(name="aio-paper", crop_to=16, noise_rounded=False, output_quantised=False)
STRICT = EvaluationProtocol(name="strict", crop_to=1, noise_rounded=True, output_quantised=True)

# aio-paper is what PromptIR's test script does, and those of DyNet and AdaIR after it. strict measures what a user
# gets: no pixel is left out, noise has mean zero, and the result is the file that would be saved.
PROTOCOLS = {protocol.name: protocol for protocol in (AIO_PAPER, STRICT)}


def as_float(levels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Levels of 0 to 255, any shape and type, to float32 in [0, 1]."""
    values: npt.NDArray[np.float32] = np.divide(levels, 255, dtype=np.float32)
    return values


def _centre(side: int, multiple: int) -> tuple[int, int]:
    """Where the middle of a side begins and ends; of an odd rest the larger part is cut off at the end."""
    rest = side % multiple
    return rest // 2, side - rest + rest // 2
