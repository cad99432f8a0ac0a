"""The commands that bring weights in and hand them on: from the released code, to other runtimes, to the Hub."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def convert(
    released: Annotated[Path, typer.Argument(help="A checkpoint of the released code, plain or Lightning.")],
    out: Annotated[Path, typer.Argument(help="The weights file to write, W.safetensors.")],
) -> None:
    """Turn weights of the released network into a weights file of dynet."""
    from dynet.convert import convert as run_conversion

    left_out = run_conversion(released, out)
    for name in left_out:
        typer.echo(f"left out (never used by the network): {name}")
    typer.echo(out)
