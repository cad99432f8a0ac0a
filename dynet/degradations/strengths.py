"""The degradations that the page can add to an image before restoring it, each with one slider for its strength.

A kind of dynet.degradations.registry.DEGRADATIONS that is missing here is not on the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dynet.degradations.degradation import Image8
from dynet.degradations.registry import DEGRADATIONS
from dynet.errors import UsageError
from dynet.runtime.rng import generator


@dataclass(frozen=True, slots=True)
class DegradationChoice:
    """One kind of degradation: its label on the page, and its parameters at both ends of the slider.

    Both ends contain every parameter of the degradation, in the units of its module; between them each one is
    interpolated linearly. The slider shows the first of them.
    """

    label: str
    unit: str
    """What the numbers of the slider are."""
    mild: Mapping[str, float]
    strong: Mapping[str, float]

    @property
    def ends(self) -> tuple[float, float]:
        """The numbers of the slider where the degradation is mild and where it is strong."""
        main = next(iter(self.mild))
        return self.mild[main], self.strong[main]

    @property
    def middle(self) -> float:
        """The number in the middle of the slider."""
        return sum(self.ends) / 2

    def strength_of(self, value: float) -> float:
        """Return the strength, from 0 (mild) to 1 (strong), of a number of the slider; outside of it if it is."""
        mild, strong = self.ends
        return round((value - mild) / (strong - mild), 9)

    def parameters_at(self, strength: float) -> dict[str, float]:
        """Return the parameters for a strength from 0 (mild) to 1 (strong)."""
        return {name: low + strength * (self.strong[name] - low) for name, low in self.mild.items()}


# The ends are close to the ranges that docs/degradations.md recommends for training.
CHOICES: Mapping[str, DegradationChoice] = MappingProxyType(
    {
        "gaussian_noise": DegradationChoice("Gaussian noise", "σ, in levels of 8 bits", {"sigma": 0}, {"sigma": 50}),
        "poisson_gaussian_noise": DegradationChoice(
            "Camera noise", "gain", {"gain": 0.1, "sigma": 1}, {"gain": 10, "sigma": 20}
        ),
        "random_noise": DegradationChoice(
            "Uniform noise", "amplitude, in levels of 8 bits", {"amplitude": 10}, {"amplitude": 90}
        ),
        "impulse_noise": DegradationChoice(
            "Salt and pepper", "share of the pixels", {"share": 0.01, "extremes": 1}, {"share": 0.3, "extremes": 1}
        ),
        "jpeg": DegradationChoice("JPEG compression", "quality of the file", {"quality": 60}, {"quality": 10}),
        "webp": DegradationChoice("WebP compression", "quality of the file", {"quality": 60}, {"quality": 0}),
        "gaussian_blur": DegradationChoice(
            "Gaussian blur",
            "σ, in pixels",
            {"sigma": 0.5, "ratio": 1, "angle": 0},
            {"sigma": 4, "ratio": 1, "angle": 0},
        ),
        "defocus_blur": DegradationChoice("Out of focus", "radius, in pixels", {"radius": 1}, {"radius": 8}),
        "motion_blur": DegradationChoice(
            "Motion blur",
            "length, in pixels",
            {"length": 5, "angle": 30, "shake": 0.3},
            {"length": 40, "angle": 30, "shake": 0.3},
        ),
        "rain": DegradationChoice(
            "Rain",
            "density",
            {"density": 0.01, "length": 20, "width": 1.5, "angle": 10, "opacity": 0.5, "layers": 3, "veil": 0},
            {"density": 0.12, "length": 60, "width": 3.5, "angle": 10, "opacity": 1, "layers": 3, "veil": 0.1},
        ),
        "haze": DegradationChoice(
            "Haze", "optical thickness", {"beta": 0.1, "airlight": 0.9}, {"beta": 1.5, "airlight": 0.9}
        ),
        "low_light": DegradationChoice(
            "Low light",
            "share of the light",
            {"gain": 0.4, "gamma": 1, "shot": 0.0001, "read": 0.0001},
            {"gain": 0.03, "gamma": 1.5, "shot": 0.002, "read": 0.002},
        ),
        "downscale": DegradationChoice("Lost resolution", "factor", {"scale": 1.5}, {"scale": 6}),
    }
)

MAX_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class AddedDegradation:
    """A degradation to add: its kind, its strength from 0 to 1, and the seed of its randomness.

    Raises:
        UsageError: The kind is not on the page, or a number is out of range; the message is a sentence for the page.
    """

    kind: str
    strength: float
    seed: int

    def __post_init__(self) -> None:
        if self.kind not in CHOICES:
            raise UsageError("There is no such degradation.")
        if not 0 <= self.strength <= 1:
            low, high = sorted(CHOICES[self.kind].ends)
            raise UsageError(f"The strength must be from {low:g} to {high:g}.")
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"The seed must be a whole number from 0 to {MAX_SEED}.")

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters of the degradation by name."""
        return CHOICES[self.kind].parameters_at(self.strength)

    def apply(self, image: Image8) -> Image8:
        """Degrade an image, (H, W, 3) of 8 bits; the same kind, strength and seed give the same pixels."""
        random = generator(self.seed, f"demo/{self.kind}")
        return DEGRADATIONS[self.kind].function(image, random, **self.parameters)

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value:.3g}" for name, value in self.parameters.items())
        return f"{CHOICES[self.kind].label} ({values}; seed {self.seed})"
