"""The commands that list what there is, one line each: recipes, variants, degradations."""

import json
from collections.abc import Mapping
from typing import Annotated

import typer

from dynet.cli.options import WeightsOption
from dynet.runtime.printable import printable_lines

app = typer.Typer(rich_markup_mode=None)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")]


@app.command()
def recipes(as_json: AsJson = False) -> None:
    """List the recipes that --recipe takes by name."""
    from dynet.config.shipped_recipes import SHIPPED_RECIPES

    _print(SHIPPED_RECIPES, as_json)


@app.command()
def variants(weights: WeightsOption = "", as_json: AsJson = False) -> None:
    """List the variants of weights.

    Without --weights, the variants of the paper, S and L.
    """
    from dynet.model.variants import LARGE, SMALL, Variant

    listed: tuple[Variant, ...] = (SMALL, LARGE)
    if weights:
        from dynet.model.weights import locate_weights, read_header

        listed = tuple(read_header(locate_weights(weights)).variants)
    entries = {}
    for variant in listed:
        schedule = variant.schedule
        levels = (schedule.level1, schedule.level2, schedule.level3, schedule.latent)
        entries[variant.name] = f"{schedule.applications} blocks: levels {levels[:3]}, latent {levels[3]}"
    _print(entries, as_json)


@app.command()
def degradations(as_json: AsJson = False) -> None:
    """List the degradations that a recipe can name."""
    from dynet.degradations.registry import DEGRADATIONS

    _print({name: _first_sentence(kind.__doc__) for name, kind in DEGRADATIONS.items()}, as_json)


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split())


def _print(entries: Mapping[str, str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(dict(entries)))
        return
    width = max(map(len, entries)) + 2
    typer.echo(printable_lines("\n".join(f"{name:<{width}}{text}" for name, text in entries.items())))
