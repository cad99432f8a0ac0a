"""For what inputs weights are meant, in plain words: the tasks of the recipe that trained them."""

from collections.abc import Mapping, Sequence
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
    """Return the inputs that the last stage trained on, one for each degradation or task of pairs.

    Args:
        training: The training record of the weights, if their file has one.

    Returns:
        Phrases such as "JPEG compression (quality 10 to 40)"; none if nothing is recorded, or after pre-training.
    """
    tasks = {} if training is None else training.recipe.get("tasks", {})
    phrases = [phrase for name, task in tasks.items() for phrase in _of_task(name, task)]
    return [*dict.fromkeys(phrases)]


def _of_task(name: str, task: Mapping[str, Any]) -> list[str]:
    if task.get("pairs"):
        return [f"what the pairs of task {name} show"]
    seconds = [_phrase(one) for one in task.get("then", ()) if one["kind"] != "none"]
    then = f", also followed by {' or '.join(seconds)}" if seconds else ""
    return [_phrase(one) + then for one in task.get("degradations", ())]


def _phrase(degradation: Mapping[str, Any]) -> str:
    """Return one degradation in words; of a kind that this version does not know, its name."""
    kind = str(degradation["kind"])
    words, parameter, called = _PLAIN.get(kind, (kind.replace("_", " "), "", ""))
    if parameter not in degradation:
        return words
    return f"{words} ({called} {_range(degradation[parameter])})"


def _range(values: Sequence[float]) -> str:
    low, high = values
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
