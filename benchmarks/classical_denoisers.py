"""Denoisers without a network that `denoisers.py` compares with: BM3D, non-local means and wavelets.

- `bm3d`: CBM3D of the package `bm3d` (`pip install bm3d`; it is licensed for non-commercial use only, so it is in no
  extra of ours): `bm3d_rgb` with its profile `np`, in the opponent colour space of the published one.
- `nlm`: `cv2.fastNlMeansDenoisingColored` with its own windows (7 and 21 pixels). It takes 8 bits only.
- `wavelets`: `skimage.restoration.denoise_wavelet`, BayesShrink with soft thresholds in YCbCr.

All need to be told the noise. Where it is not known, `estimate_sigma` is scikit-image's estimate.

`python benchmarks/classical_denoisers.py` prints the search for the strength of non-local means (NLM_STRENGTHS): mean
PSNR of eight BSDS500 training pictures, which CBSD68 does not contain, for every strength and each sigma.
"""

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt
from machine import SHARED
from PIL import Image

Float = npt.NDArray[np.float32]

MIN_SIGMA = 0.5
"""In levels of 255: a picture with an estimate below it is returned as it is, since 8 bits cannot hold such noise."""

NLM_SIGMAS = (5.0, 15.0, 25.0, 50.0)
NLM_STRENGTHS = ((0.45, 0.5), (0.45, 0.7), (0.45, 0.7), (0.6, 0.7))
"""`h` and `hColor` of non-local means divided by sigma, at each of NLM_SIGMAS; between them by interpolation."""


def stop(message: str) -> None:
    """End the script with one line on standard error and exit code 2."""
    print(message, file=sys.stderr)
    sys.exit(2)


def estimate_sigma(image: Float) -> float:
    """Return the standard deviation of the noise of (H, W, 3) in [0, 1], in levels of 255, the mean of the channels."""
    from skimage.restoration import estimate_sigma as estimate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a channel of one value has no estimate: no noise
        channels = estimate(image, average_sigmas=False, channel_axis=-1)
    return float(np.mean(np.nan_to_num(channels))) * 255


def bm3d(image: Float, sigma: float, threads: int) -> Float:
    """Return CBM3D's restoration; a grey image, of which CBM3D makes values that are no numbers, by BM3D."""
    from bm3d import BM3DProfile, bm3d_rgb
    from bm3d import bm3d as bm3d_of_one_channel

    profile = BM3DProfile()  # the profile `np`
    profile.num_threads = threads
    levels = image.astype(np.float64)
    if np.ptp(image, axis=2).any():
        restored = bm3d_rgb(levels, sigma / 255, profile)
    else:
        restored = np.repeat(bm3d_of_one_channel(levels[..., 0], sigma / 255, profile)[..., None], 3, axis=2)
    result: Float = restored.astype(np.float32)
    return result


def non_local_means(image: Float, sigma: float, threads: int) -> Float:
    """Return OpenCV's restoration, of the image rounded to 8 bits."""
    h, colour = (float(np.interp(sigma, NLM_SIGMAS, column)) * sigma for column in zip(*NLM_STRENGTHS, strict=True))
    return _non_local_means(image, h, colour, threads)


def _non_local_means(image: Float, h: float, colour: float, threads: int) -> Float:
    cv2.setNumThreads(threads)
    levels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    bgr = np.ascontiguousarray(levels[..., ::-1])
    restored = cv2.fastNlMeansDenoisingColored(bgr, None, h, colour)
    result: Float = np.divide(restored[..., ::-1], 255, dtype=np.float32)
    return result


def wavelets(image: Float, sigma: float, threads: int) -> Float:
    """Return scikit-image's restoration; it runs in one thread, whatever `threads` is."""
    from skimage.restoration import denoise_wavelet

    restored: Float = denoise_wavelet(
        image, sigma=sigma / 255, method="BayesShrink", mode="soft", convert2ycbcr=True, channel_axis=-1
    ).astype(np.float32)
    return restored


@dataclass(frozen=True, slots=True)
class Classical:
    """One denoiser."""

    package: str
    """What to install."""
    module: str
    restore: Callable[[Float, float, int], Float]
    """Takes (H, W, 3) in [0, 1], sigma in levels of 255, and a number of threads; gives the same shape, not clipped."""


CLASSICAL: Mapping[str, Classical] = MappingProxyType(
    {
        "bm3d": Classical("bm3d", "bm3d", bm3d),
        "nlm": Classical("opencv-python-headless", "cv2", non_local_means),
        "wavelets": Classical("scikit-image PyWavelets", "pywt", wavelets),
    }
)


def check_installed(names: list[str]) -> None:
    """Stop with a line that says what to install if a denoiser, or scikit-image for the estimate, is missing."""
    needed = [("skimage", "scikit-image"), *((CLASSICAL[name].module, CLASSICAL[name].package) for name in names)]
    for module, package in needed:
        if names and find_spec(module) is None:
            stop(f"{module} is not installed: pip install {package}")


def denoiser(name: str, threads: int) -> Callable[[Float, float | None], tuple[Float, float]]:
    """Return a function of an image and its sigma, or None to estimate it: the restoration, and the sigma it used."""

    def restore(image: Float, sigma: float | None) -> tuple[Float, float]:
        used = estimate_sigma(image) if sigma is None else sigma
        return (image if used < MIN_SIGMA else CLASSICAL[name].restore(image, used, threads)), used

    return restore


def main() -> None:
    """Print the search for NLM_STRENGTHS."""
    files = sorted((SHARED / "train" / "BSDS500" / "train").glob("*.jpg"))[::25]
    if not files:
        stop(f"{SHARED / 'train' / 'BSDS500' / 'train'}: the pictures that the search needs are not there")
    clean = [np.asarray(Image.open(file).convert("RGB"))[:200, :200] for file in files]
    print(f"| σ | h/σ | hColor/σ | PSNR of {len(files)} | with the rule |\n|---|---|---|---|---|")
    for sigma in NLM_SIGMAS:
        noise = [
            sigma * np.random.default_rng(number).standard_normal(image.shape) for number, image in enumerate(clean)
        ]
        noisy = [np.rint(np.clip(a + b, 0, 255)).astype(np.float32) / 255 for a, b in zip(clean, noise, strict=True)]
        score = functools.partial(_mean_psnr, clean, noisy)
        strengths = [
            (h, colour) for h in (0.3, 0.45, 0.6, 0.75, 0.9, 1.05, 1.2) for colour in (0.3, 0.5, 0.7, 1.0, 1.4)
        ]
        reached = {pair: score(pair[0] * sigma, pair[1] * sigma) for pair in strengths}
        best = max(reached, key=lambda pair: reached[pair])
        rule = NLM_STRENGTHS[NLM_SIGMAS.index(sigma)]
        cells = (f"{sigma:g}", f"{best[0]:.2f}", f"{best[1]:.2f}", f"{reached[best]:.2f}")
        print(f"| {' | '.join(cells)} | {score(rule[0] * sigma, rule[1] * sigma):.2f} |", flush=True)


def _mean_psnr(clean: list[npt.NDArray[np.uint8]], noisy: list[Float], h: float, colour: float) -> float:
    errors = [_non_local_means(image, h, colour, 1) * 255 - target for image, target in zip(noisy, clean, strict=True)]
    return float(np.mean([10 * np.log10(255**2 / np.mean(error**2)) for error in errors]))


if __name__ == "__main__":
    main()
