"""The texts of the page as HTML; everything that comes from a file or a request is escaped."""

import math
from collections.abc import Sequence
from html import escape

from dynet.degradations.strengths import AddedDegradation
from dynet.demo.restorer import Comparison, Quality
from dynet.inference.decoded_image import DecodedImage
from dynet.model.meant_for import meant_for
from dynet.model.training_record import TrainingRecord
from dynet.runtime.cost import MB

TITLE = "Restore an image with DyNet"
HEAD = f"""<header><h1>{TITLE}</h1>
<p>Drop an image, choose a degradation or none, and compare the result with the input.
Your image stays on the machine that serves this page.</p></header>"""
NO_RESULT = "<p class='nothing'>Before and after appear here.</p>"


def status_line(text: str) -> str:
    """Return a line about what was done."""
    return f"<p role='status'>{escape(text)}</p>"


def error_line(text: str) -> str:
    """Return a line about an error."""
    return f"<p role='alert' class='fault'>{escape(text)}</p>"


def warning_line(text: str | None) -> str:
    """Return a line that stays on the page, about what the weights may do; empty without a text."""
    return "" if text is None else f"<p role='note' class='warning'>{escape(text[0].upper() + text[1:])}.</p>"


def weights_line(name: str, training: TrainingRecord | None, variants: Sequence[str]) -> str:
    """Return a line about the weights: what they were trained for, and their PSNR in validation.

    Args:
        name: The name of the weights.
        training: How they were trained, if that is recorded.
        variants: The names of the variants that the file holds; those that training had besides are not mentioned.
    """
    if training is None:
        return f"<p>Weights <b>{escape(name)}</b>: their file does not say how they were trained.</p>"
    inputs, runs = meant_for(training), training.runs_of_stage()
    steps = f"{sum(run.steps for run in runs):,} steps" + (f" in {len(runs)} runs" if len(runs) > 1 else "")
    done = f"{'fine-tuned' if inputs else 'pre-trained'} for {steps}"
    what = f" on {', '.join(inputs)}" if inputs else ""
    result = training.validated or training.best
    tasks = result.psnr.items() if result else ()
    by_task = {task: [f"{name} {db:.1f} dB" for name, db in psnr.items() if name in variants] for task, psnr in tasks}
    scores = [f"{task} {', '.join(values)}" for task, values in by_task.items() if values]
    measured = f" PSNR in validation: {'; '.join(scores)}." if scores else ""
    return f"<p>Weights <b>{escape(name)}</b>, {escape(done + what)}.{escape(measured)}</p>"


def describe_image(name: str, image: DecodedImage) -> str:
    """Return one line about an image: name, size, bit depth and transparency."""
    height, width = image.colour.shape[:2]
    bits = 8 * image.colour.dtype.itemsize
    kind = "grey" if image.colour.ndim == 2 else "colour"
    alpha = ", with transparency, which is kept unchanged" if image.alpha is not None else ""
    return f"{name}: {width} × {height} pixels, {kind} of {bits} bits{alpha}"


def describe_times(comparison: Comparison) -> str:
    """Return one line with the time of each variant."""
    times = ", by ".join(f"{result.variant} in {result.seconds:.1f} s" for result in comparison.results)
    return f"Restored by {times}."


def figures_table(
    name: str, comparison: Comparison, degradation: AddedDegradation | None, device: str, memory: str
) -> str:
    """Return the table of time, memory and, where the clean image is known, quality.

    Args:
        name: The file name of the image.
        comparison: The input, which has its own row if its quality is known, and the result of each variant.
        degradation: What was added to the image.
        device: Where the network ran.
        memory: What the peak memory includes, in words.
    """
    known = comparison.quality is not None
    heads = ["", *(("PSNR", "SSIM") if known else ()), "Time", "Memory", "Tiles"]
    rows = [["Before", *_quality_cells(comparison.quality), "", "", ""]] if known else []
    for result in comparison.results:
        size = "not measured" if result.peak_bytes is None else f"{result.peak_bytes / MB:,.0f} MB"
        quality = _quality_cells(result.quality)
        rows.append([result.variant, *quality, f"{result.seconds:.1f} s", size, f"{result.tiles}"])
    facts = [describe_image(name, comparison.before), f"added: {degradation}" if degradation else "", f"on {device}"]
    caption = escape("; ".join(fact for fact in facts if fact))
    table = f"<table>{_head(heads)}<tbody>{''.join(map(_row, rows))}</tbody></table>"
    return f"{table}<p>{caption}. {_notes(known, memory)}</p>"


def _notes(known: bool, memory: str) -> str:
    quality = "PSNR and SSIM compare with the image before the degradation. " if known else ""
    return quality + escape(f"Memory: {memory}.")


def _quality_cells(quality: Quality | None) -> list[str]:
    if quality is None:
        return []
    psnr = "equal" if math.isinf(quality.psnr) else f"{quality.psnr:.2f} dB"
    return [psnr, "–" if quality.ssim is None else f"{quality.ssim:.4f}"]


def _head(cells: Sequence[str]) -> str:
    return "<thead><tr>" + "".join(f"<th scope='col'>{cell}</th>" for cell in cells) + "</tr></thead>"


def _row(cells: Sequence[str]) -> str:
    first, *rest = map(escape, cells)
    return f"<tr><th scope='row'>{first}</th>" + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
