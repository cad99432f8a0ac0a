"""The command `degrade`, which makes something to restore."""

from pathlib import Path
from typing import Annotated

import typer

from dynet.runtime.printable import printable

app = typer.Typer(rich_markup_mode=None)


@app.command()
def degrade(
    inputs: Annotated[list[str], typer.Argument(help="Images, folders of images, and patterns such as 'in/*.jpg'.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    degradation: Annotated[
        str, typer.Option(help="gaussian_noise, jpeg, rain, …; `dynet degradations` lists all.")
    ] = "gaussian_noise",
    strength: Annotated[
        float | None, typer.Option(help="In the unit of the degradation, for noise σ in levels. Default: medium.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The same seed gives the same pixels.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Degrade images, to try a network on them.

    Without options, noise of σ 25.
    """
    from dynet.inference.degrade import degrade_files, plan_degradation

    for path in degrade_files(inputs, out, plan_degradation(degradation, strength, seed), overwrite=overwrite):
        typer.echo(printable(path))
