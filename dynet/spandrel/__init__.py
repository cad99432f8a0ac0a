"""DyNet in programs that load networks with spandrel, and networks of spandrel in dynet."""

from dynet.extras import require


def register() -> None:
    """Make `spandrel.ModelLoader()` load the files of `dynet export --format spandrel`; further calls change nothing.

    Raises:
        MissingExtra: spandrel is not installed.
    """
    require("spandrel")
    from spandrel import MAIN_REGISTRY

    from dynet.spandrel.architecture import add_dynet

    add_dynet(MAIN_REGISTRY)
