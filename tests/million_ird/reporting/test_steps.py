"""The funnel in steps."""

from million_ird.ledger import funnel
from million_ird.reporting.steps import funnel_steps
from million_ird.schema import KEPT, NOT_MEASURED
from tests.million_ird.reporting.synthetic_ledgers import decide_rows, make_recipe, scan_rows, with_texts


def test_the_steps_add_up_and_follow_the_order_of_the_rules() -> None:
    recipe = make_recipe()
    ledger = decide_rows(scan_rows(500, recipe), recipe)
    found = funnel_steps(funnel(ledger), recipe)
    assert [step.name for step in found] == [
        "failed",
        "small",
        "exposure",
        "few_colours",
        "blurred",
        "duplicate_exact",
        "duplicate_near",
    ]
    left = ledger.num_rows
    for step in found:
        left -= step.dropped
        assert step.left == left
    assert left == ledger["verdict"].to_pylist().count(KEPT)
    assert found[2].rule == "mean_luma at least 40 and at most 220"


def test_a_reason_that_is_not_in_the_recipe_is_a_step_too() -> None:
    recipe = make_recipe()
    rows = scan_rows(50, recipe)
    kept = decide_rows(rows, recipe)["verdict"].to_pylist().index(KEPT)
    ledger = with_texts(decide_rows(rows, recipe), {"verdict": {kept: "dropped"}, "reason": {kept: "in a benchmark"}})
    found = funnel_steps(funnel(ledger), recipe)
    assert (found[-1].name, found[-1].dropped) == ("in a benchmark", 1)
    assert found[-1].left == ledger["verdict"].to_pylist().count(KEPT)


def test_incompletely_measured_images_are_a_step_of_the_funnel() -> None:
    rows = scan_rows(800, make_recipe())
    loose = make_recipe(gates=[{"field": "short_side", "min": 512, "reason": "small"}])
    found = {step.name: step for step in funnel_steps(funnel(decide_rows(rows, loose)), loose)}
    assert found[NOT_MEASURED].dropped > 0
