"""The commands that list what there is, one line each: recipes, metrics, test sets."""

from collections.abc import Mapping

import typer

from million_ird.cli.options import AsJson
from million_ird.printable import printable_json, printable_lines

app = typer.Typer(rich_markup_mode=None)


@app.command("recipes")
def recipes_command(as_json: AsJson = False) -> None:
    """List the shipped recipes, by the names that --recipe takes."""
    from million_ird.config.loading import SHIPPED

    _print({name.removesuffix(".yaml"): text for name, text in SHIPPED.items()}, as_json)


@app.command("metrics")
def metrics_command(as_json: AsJson = False) -> None:
    """List what --metrics and the gates of a recipe can name.

    Measures come first, then scores, then those of pyiqa.
    """
    from million_ird.config.score_names import known_metrics

    _print(known_metrics(), as_json)


@app.command("benchmarks")
def benchmarks_command(as_json: AsJson = False) -> None:
    """List the test sets that --exclude-benchmark knows by name."""
    from dataclasses import asdict

    from million_ird.known_benchmarks import KNOWN

    if as_json:
        typer.echo(printable_json([asdict(known) for known in KNOWN]))
    else:
        _print({known.name: f"{known.images:>3} images  {known.made_from}" for known in KNOWN}, as_json)


def _print(entries: Mapping[str, str], as_json: bool) -> None:
    if as_json:
        typer.echo(printable_json(entries))
        return
    width = max(map(len, entries)) + 2
    typer.echo(printable_lines("\n".join(f"{name:<{width}}{text}".rstrip() for name, text in entries.items())))
