"""What the page says, as HTML; whatever comes from a file or a request is escaped."""

import math
from collections.abc import Sequence
from html import escape

from dynet.demo.degradations import Addition
from dynet.demo.restorer import Comparison, Quality
from dynet.inference.images import Picture
from dynet.runtime.cost import MB

TITLE = "Restore a picture with DyNet"
HEAD = f"""<header><h1>{TITLE}</h1>
<p>Drop a picture, add a degradation or none, and compare what goes in with what comes out.
Your picture stays on the machine that serves this page.</p></header>"""
NOTHING_YET = "<p class='nothing'>Before and after appear here.</p>"


def said(text: str) -> str:
    """A line about what was done."""
    return f"<p role='status'>{escape(text)}</p>"


def fault(text: str) -> str:
    """A line about what could not be done."""
    return f"<p role='alert' class='fault'>{escape(text)}</p>"


def described(name: str, picture: Picture) -> str:
    """A picture in a line: its name, size, depth, and what of it is special."""
    height, width = picture.colour.shape[:2]
    bits = 8 * picture.colour.dtype.itemsize
    kind = "grey" if picture.colour.ndim == 2 else "colour"
    alpha = ", with transparency, which is kept as it is" if picture.alpha is not None else ""
    return f"{name}: {width} × {height} pixels, {kind} of {bits} bits{alpha}"


def done(comparison: Comparison) -> str:
    """That it is done, and how long it took."""
    return (
        "Restored by " + ", by ".join(f"{after.variant} in {after.seconds:.1f} s" for after in comparison.after) + "."
    )


def figures(name: str, comparison: Comparison, addition: Addition | None, device: str, memory: str) -> str:
    """Time, memory and, where the clean picture is known, quality: a row for what went in, and one for each variant."""
    known = comparison.quality is not None
    heads = ["", *(("PSNR", "SSIM") if known else ()), "Time", "Memory", "Tiles"]
    rows = [["Before", *_quality(comparison.quality), "", "", ""]] if known else []
    for after in comparison.after:
        size = "not measured" if after.peak_bytes is None else f"{after.peak_bytes / MB:,.0f} MB"
        rows.append([after.variant, *_quality(after.quality), f"{after.seconds:.1f} s", size, f"{after.tiles}"])
    about = [described(name, comparison.before), f"added: {addition}" if addition else "", f"on {device}"]
    caption = escape("; ".join(part for part in about if part))
    table = f"<table>{_head(heads)}<tbody>{''.join(map(_row, rows))}</tbody></table>"
    return f"{table}<p>{caption}. {_notes(known, memory)}</p>"


def _notes(known: bool, memory: str) -> str:
    quality = "PSNR and SSIM are against the picture before anything was added. " if known else ""
    return quality + escape(f"Memory: {memory}.")


def _quality(quality: Quality | None) -> list[str]:
    if quality is None:
        return []
    psnr = "equal" if math.isinf(quality.psnr) else f"{quality.psnr:.2f} dB"
    return [psnr, "–" if quality.ssim is None else f"{quality.ssim:.4f}"]


def _head(cells: Sequence[str]) -> str:
    return "<thead><tr>" + "".join(f"<th scope='col'>{cell}</th>" for cell in cells) + "</tr></thead>"


def _row(cells: Sequence[str]) -> str:
    first, *rest = map(escape, cells)
    return f"<tr><th scope='row'>{first}</th>" + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
