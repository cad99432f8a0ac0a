"""All degradations of clean images, one per file.

Each is a pure function of (image, generator, parameters): 8-bit RGB in, 8-bit RGB out, rounded and never truncated. To
add one, write a file with its function and its model for recipes, and add a line to DEGRADATIONS.

What happens to light before it is stored is computed in linear light: defocus and motion blur, rain, haze, low light.
What happens to stored levels is computed on them: noise, compression, resampling, and Gaussian blur as published.
"""

from collections.abc import Mapping
from types import MappingProxyType

from dynet.degradations.camera_noise import CameraNoise
from dynet.degradations.defocus_blur import DefocusBlur
from dynet.degradations.degradation import Degradation
from dynet.degradations.downscale import Downscale
from dynet.degradations.gaussian_blur import GaussianBlur
from dynet.degradations.gaussian_noise import GaussianNoise
from dynet.degradations.haze import Haze
from dynet.degradations.impulse_noise import ImpulseNoise
from dynet.degradations.jpeg import Jpeg
from dynet.degradations.low_light import LowLight
from dynet.degradations.motion_blur import MotionBlur
from dynet.degradations.none import NoDegradation
from dynet.degradations.poisson_gaussian_noise import PoissonGaussianNoise
from dynet.degradations.rain import Rain
from dynet.degradations.random_noise import RandomNoise
from dynet.degradations.webp import Webp

DEGRADATIONS: Mapping[str, type[Degradation]] = MappingProxyType(
    {
        "gaussian_noise": GaussianNoise,
        "poisson_gaussian_noise": PoissonGaussianNoise,
        "camera_noise": CameraNoise,
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
        "none": NoDegradation,
    }
)
