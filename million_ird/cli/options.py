"""Arguments and options that several commands share."""

from typing import Annotated, Optional

import typer

Out = Annotated[str, typer.Argument(help="The output folder of a build.", metavar="OUT")]
Workers = Annotated[
    Optional[int],
    typer.Option("--workers", min=0, help="Number of worker processes; 0 uses this process. Default: one per core."),
]
Scheduler = Annotated[
    Optional[str],
    typer.Option("--scheduler", help="Address of a dask scheduler whose workers to use."),
]
Models = Annotated[
    Optional[str],
    typer.Option(
        "--models", envvar="MILLION_IRD_MODELS", help="A folder with the parameters of scores, for recipes with scores."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line of stdout.")]
