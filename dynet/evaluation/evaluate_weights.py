"""Weights evaluated by the names of the command line: what `dynet evaluate` and `dynet.evaluate` do."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dynet.evaluation.plan import plan_evaluation
from dynet.runtime.atomic_files import create_output_folder

if TYPE_CHECKING:
    from dynet.evaluation.report import Report
    from dynet.runtime.devices import DeviceName


def evaluate_weights(
    weights: str,
    benchmarks: Sequence[str],
    protocol: str,
    *,
    variants: str | None,
    sigma: str | None,
    metrics: str | None,
    tile: int | None,
    out: Path | None,
    device: "DeviceName",
) -> "Report":
    """Evaluate weights, and create the folder for the results, into which the caller writes them.

    Args:
        weights: A weights file, a folder that holds one, the name of shipped weights, or a repository on the Hub.
        benchmarks: Texts NAME=DIR.
        protocol: A name of `KINDS`.
        variants: Names with commas; None is all.
        sigma: Numbers with commas; None is those of the protocol.
        metrics: Names of metrics of pyiqa with commas, or None.
        tile: Side in pixels; None restores whole images.
        out: The folder.
        device: Where to compute.

    Raises:
        UsageError: There are no such weights, variants or benchmarks.
        ImageError: An image of a benchmark cannot be read or restored.
        OutOfMemory: An image does not fit into memory.
    """
    plan = plan_evaluation(weights, benchmarks, protocol, variants=variants, sigma=sigma, metrics=metrics, out=out)
    # What is refused above is refused at once: torch, which takes seconds, is loaded here.
    from dynet.evaluation.evaluate import Evaluation, evaluate
    from dynet.evaluation.kinds import KINDS
    from dynet.evaluation.pyiqa_metrics import load_metrics
    from dynet.inference.tiling import round_tile_to_stride
    from dynet.model.variants import choose_variants
    from dynet.runtime.cost import CostMeter
    from dynet.runtime.devices import resolve_device
    from dynet.spandrel.any_weights import load_any_weights

    kind = KINDS[protocol]
    where = resolve_device(device)
    model, file = load_any_weights(str(plan.weights))
    model.to(where)
    evaluation = Evaluation(
        model=model,
        variants=model.variants if variants is None else choose_variants(variants, model.variants),
        device=where,
        protocol=kind.protocol,
        tasks=plan.tasks,
        measures=kind.measures,
        metrics=() if metrics is None else load_metrics(metrics, where),
        tile=round_tile_to_stride(tile),
    )
    if out is not None:
        create_output_folder(out)
    meter = CostMeter(where, model)
    results = evaluate(evaluation, meter)
    return kind.report(evaluation=evaluation, weights=file, memory=meter.memory, results=results)
