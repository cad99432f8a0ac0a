"""Arguments and options that commands share."""

from typing import Annotated, Optional

import typer

Out = Annotated[str, typer.Argument(help="The output folder of a build.", metavar="OUT")]
Workers = Annotated[
    Optional[int], typer.Option("--workers", min=0, help="Processes; 0 runs in this one. Default: one per core.")
]
Models = Annotated[
    Optional[str],
    typer.Option(
        "--models", envvar="MILLION_IRD_MODELS", help="A folder of score parameters, for recipes that name scores."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object on the last line of stdout.")]
