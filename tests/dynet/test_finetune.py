import numpy as np
import pytest

from dynet.finetune import warmup_cosine


def test_the_rate_rises_from_above_zero_and_its_cosine_ends_with_the_run() -> None:
    rates = [warmup_cosine(step, 100, 10, 2e-4) for step in range(100)]
    assert min(rates) > 0
    assert all(np.diff(rates[:11]) > 0)
    assert rates[10] == pytest.approx(2e-4)
    assert all(np.diff(rates[10:]) < 0)
    assert rates[-1] < 1e-6 < rates[-10]


def test_without_a_warm_up_it_starts_at_the_peak() -> None:
    assert warmup_cosine(0, 5, 0, 1.0) == 1.0
