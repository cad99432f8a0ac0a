"""What can be done to a clean picture, one degradation per file.

Each is a pure function of (image, generator, parameters): 8-bit RGB in, 8-bit RGB out, rounded and never truncated.
A new one is a file, with its function and its section of a recipe, and a line in DEGRADATIONS.

What happens to light, before it is stored, is computed in linear light: defocus and motion blur, rain, haze, low light.
What happens to stored levels is computed on them: noise, compression, resampling, and Gaussian blur as published.
"""

from dynet.degrade.defocus_blur import DefocusBlur
from dynet.degrade.degradation import Degradation
from dynet.degrade.downscale import Downscale
from dynet.degrade.gaussian_blur import GaussianBlur
from dynet.degrade.gaussian_noise import GaussianNoise
from dynet.degrade.haze import Haze
from dynet.degrade.impulse_noise import ImpulseNoise
from dynet.degrade.jpeg import Jpeg
from dynet.degrade.low_light import LowLight
from dynet.degrade.motion_blur import MotionBlur
from dynet.degrade.poisson_gaussian_noise import PoissonGaussianNoise
from dynet.degrade.rain import Rain
from dynet.degrade.random_noise import RandomNoise
from dynet.degrade.webp import Webp

DEGRADATIONS: dict[str, type[Degradation]] = {
    "gaussian_noise": GaussianNoise,
    "poisson_gaussian_noise": PoissonGaussianNoise,
    "random_noise": RandomNoise,
    "impulse_noise": ImpulseNoise,
    "jpeg": Jpeg,
    "webp": Webp,
    "gaussian_blur": GaussianBlur,
    "defocus_blur": DefocusBlur,
    "motion_blur": MotionBlur,
    "rain": Rain,
    "haze": Haze,
    "low_light": LowLight,
    "downscale": Downscale,
}
