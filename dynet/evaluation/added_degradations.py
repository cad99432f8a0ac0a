"""What an evaluation does to the clean images of a benchmark before a network restores them."""

from dataclasses import dataclass

from dynet.degradations.jpeg import jpeg
from dynet.evaluation.protocol import EvaluationProtocol, Image8
from dynet.runtime.rng import generator


@dataclass(frozen=True, slots=True)
class AddedNoise:
    """Gaussian noise of a standard deviation of `sigma` levels of 255."""

    sigma: float

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"σ{self.sigma:g}"

    def apply(self, clean: Image8, stem: str, protocol: EvaluationProtocol) -> Image8:
        """Return `clean`, (H, W, 3), with the noise that belongs to a file of this stem."""
        return protocol.add_noise(clean, stem, self.sigma)


@dataclass(frozen=True, slots=True)
class AddedJpeg:
    """JPEG compression of this quality, from 1 to 100, with chroma at half resolution."""

    quality: int

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"JPEG {self.quality}"

    def apply(self, clean: Image8, stem: str, protocol: EvaluationProtocol) -> Image8:
        """Return `clean`, (H, W, 3), compressed and decoded; nothing is drawn.

        Raises:
            ImageError: JPEG allows no image of this size.
        """
        return jpeg(clean, generator(0, "benchmark JPEG"), quality=self.quality)


@dataclass(frozen=True, slots=True)
class NothingAdded:
    """The clean image itself."""

    label: str = "clean"

    def apply(self, clean: Image8, stem: str, protocol: EvaluationProtocol) -> Image8:
        """Return `clean`, (H, W, 3)."""
        return clean


CleanInput = AddedNoise | AddedJpeg | NothingAdded
