"""For what inputs weights are meant, in plain words: the tasks of the recipe that trained them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dynet.model.training_record import TrainingRecord

# By kind: its plain name, the parameter that says most about its strength, and how that is called.
_PLAIN: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "gaussian_noise": ("Gaussian noise", "sigma", "σ"),
        "poisson_gaussian_noise": ("Poisson-Gaussian noise", "gain", "gain"),
        "camera_noise": ("noise of cameras", "shot", "shot noise"),
        "random_noise": ("uniform noise", "amplitude", "amplitude"),
        "impulse_noise": ("salt and pepper", "share", "share"),
        "jpeg": ("JPEG compression", "quality", "quality"),
        "webp": ("WebP compression", "quality", "quality"),
        "gaussian_blur": ("Gaussian blur", "sigma", "σ"),
        "defocus_blur": ("images out of focus", "radius", "radius"),
        "motion_blur": ("motion blur", "length", "length"),
        "rain": ("rain", "density", "density"),
        "haze": ("haze", "beta", "optical thickness"),
        "low_light": ("low light", "gain", "share of light"),
        "downscale": ("lost resolution", "scale", "factor"),
        "none": ("clean images", "", ""),
    }
)


def meant_for(training: TrainingRecord | None) -> list[str]:
    """Return the inputs that the last stage trained on, one for each kind of degradation and each task of pairs.

    Args:
        training: The training record of the weights, if their file has one.

    Returns:
        Phrases such as "JPEG compression (quality 10 to 40)"; none if nothing is recorded, or after pre-training.
    """
    tasks = {} if training is None else training.recipe.get("tasks", {})
    found: dict[str, _Kind] = {}
    for name, task in tasks.items():
        if task.get("pairs"):
            found.setdefault(f"task {name}", _Kind(f"what the pairs of task {name} show"))
            continue
        followers = [one for one in task.get("then", ()) if one["kind"] != "none"]
        for one in task.get("degradations", ()):
            _add(found, one)
            for follower in followers:
                _add(found[one["kind"]].then, follower)
    return [str(kind) for kind in found.values()]


@dataclass(slots=True)
class _Kind:
    """A degradation of all tasks: its ranges of strength, and what may follow it."""

    words: str
    called: str = ""
    ranges: list[tuple[float, float]] = field(default_factory=list)
    then: dict[str, "_Kind"] = field(default_factory=dict)

    def __str__(self) -> str:
        ranges = " and ".join(_range(one) for one in _joined(self.ranges))
        strength = f" ({self.called} {ranges})" if ranges else ""
        then = f", also followed by {' or '.join(map(str, self.then.values()))}" if self.then else ""
        return self.words + strength + then


def _add(found: dict[str, _Kind], degradation: Mapping[str, Any]) -> None:
    """Add one degradation; a kind that this version does not know has its name for words."""
    kind = str(degradation["kind"])
    words, parameter, called = _PLAIN.get(kind, (kind.replace("_", " "), "", ""))
    known = found.setdefault(kind, _Kind(words, called))
    if parameter in degradation:
        low, high = degradation[parameter]
        known.ranges.append((low, high))


def _joined(ranges: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the ranges in order, those that overlap or touch as one."""
    joined: list[tuple[float, float]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], high)
        else:
            joined.append((low, high))
    return joined


def _range(values: Sequence[float]) -> str:
    low, high = values
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
