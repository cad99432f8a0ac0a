"""Weights evaluated by the names of the command line: what `dynet evaluate` and `dynet.evaluate` do."""

from typing import TYPE_CHECKING

from dynet.evaluation.plan import EvaluationRequest, plan_evaluation
from dynet.runtime.atomic_files import create_output_folder

if TYPE_CHECKING:
    from dynet.evaluation.report import Report


def evaluate_weights(request: EvaluationRequest) -> "Report":
    """Evaluate weights, and create the folder for the results, into which the caller writes them.

    Raises:
        UsageError: There are no such weights, variants or benchmarks.
        ImageError: An image of a benchmark cannot be read or restored.
        OutOfMemory: An image does not fit into memory.
    """
    plan = plan_evaluation(request)
    # What is refused above is refused at once: torch, which takes seconds, is loaded here.
    from dynet.evaluation.evaluate import Evaluation, evaluate
    from dynet.evaluation.kinds import KINDS
    from dynet.evaluation.pyiqa_metrics import load_metrics
    from dynet.inference.tiling import round_tile_to_stride
    from dynet.model.variants import choose_variants
    from dynet.runtime.cost import CostMeter
    from dynet.runtime.devices import resolve_device
    from dynet.spandrel.any_weights import load_any_weights

    kind = KINDS[request.protocol]
    where = resolve_device(request.device)
    model, file = load_any_weights(str(plan.weights))
    model.to(where)
    evaluation = Evaluation(
        model=model,
        variants=model.variants if request.variants is None else choose_variants(request.variants, model.variants),
        device=where,
        protocol=kind.protocol,
        tasks=plan.tasks,
        measures=kind.measures,
        metrics=() if request.metrics is None else load_metrics(request.metrics, where),
        tile=round_tile_to_stride(request.tile),
        self_ensemble=request.self_ensemble,
    )
    if request.out is not None:
        create_output_folder(request.out)
    meter = CostMeter(where, model)
    results = evaluate(evaluation, meter)
    return kind.report(evaluation=evaluation, weights=file, memory=meter.memory, results=results)
