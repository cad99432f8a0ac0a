"""What to tell a user who is about to restore with weights: whether they leave alone what needs nothing done."""

from collections.abc import Iterable

from dynet.model.training_record import CLEAN_TASK, TrainingRecord

SAFE_PSNR = 40.0
"""In dB: clean images that come out with less have a root mean square error of more than 2.5 levels."""

RISK = "they may harm photographs that are nearly clean"


def clean_psnr(training: TrainingRecord | None, variant: str) -> float | None:
    """Return the PSNR in dB of clean images that went through a variant in validation; None if it was not measured.

    Args:
        training: The training record of the weights, if their file has one.
        variant: The name of the variant.
    """
    result = None if training is None else training.validated or training.best
    return None if result is None else result.psnr.get(CLEAN_TASK, {}).get(variant)


def clean_input_warning(training: TrainingRecord | None, variants: Iterable[str]) -> str | None:
    """Return one line if variants may harm images that need nothing done; None if validation shows that they do not.

    Args:
        training: The training record of the weights, if their file has one.
        variants: The names of the variants that are used.
    """
    measured = {variant: clean_psnr(training, variant) for variant in variants}
    if None in measured.values():
        return f"nothing says that these weights were validated on clean images: {RISK}"
    low = [f"{variant} {db:.1f} dB" for variant, db in measured.items() if db is not None and db < SAFE_PSNR]
    if not low:
        return None
    return (
        f"these weights alter clean images (in validation {', '.join(low)}; at {SAFE_PSNR:g} it hardly shows): {RISK}"
    )
