"""The warning about weights that may harm clean images: one decision for every entry point."""

from dataclasses import replace

import pytest

from dynet.model.clean_input import SAFE_PSNR, clean_input_warning
from dynet.model.training_record import TrainingRecord, ValidationResult

RECORD = TrainingRecord(steps=4, recipe={"stage": "finetune", "steps": 4}, data_sets=("set",))


def validated(**clean: float) -> ValidationResult:
    scores = {"rain": {"S": 60.0, "L": 60.0}} | ({"clean": clean} if clean else {})
    return ValidationResult(step=4, mean=60.0, psnr=scores)


@pytest.mark.parametrize(
    "training",
    [
        None,
        RECORD,
        replace(RECORD, validated=validated()),
        replace(RECORD, best=validated()),
        replace(RECORD, validated=validated(S=50.0)),
        replace(RECORD, validated=validated(), best=validated(L=50.0)),  # the best is of other weights
    ],
    ids=("no record", "no validation", "before there was a clean task", "only the best", "other variant", "old"),
)
def test_weights_without_a_validation_on_clean_images_are_told(training: TrainingRecord | None) -> None:
    warning = clean_input_warning(training, ["L"])
    assert warning is not None
    assert warning.startswith("nothing says that these weights were validated on clean images")
    assert "\n" not in warning


def test_a_low_psnr_of_a_used_variant_is_named() -> None:
    training = replace(RECORD, validated=validated(S=39.94, L=SAFE_PSNR))
    assert clean_input_warning(training, ["L"]) is None
    warning = clean_input_warning(training, ["L", "S"])
    assert warning is not None
    assert "in validation S 39.9 dB; at 40" in warning
    assert clean_input_warning(replace(RECORD, best=validated(L=99.0)), ["L"]) is None
