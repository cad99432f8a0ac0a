"""Python environments with only a part of the installed packages: what an install with some extras would bring."""

import re
import tomllib
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = _PROJECT["optional-dependencies"]


def distributions(*extras: str) -> set[str]:
    """Return the names of all installed distributions that million-ird with these extras depends on, transitively."""
    requirements = [*_PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    waiting = [Requirement(line) for line in requirements]
    closed: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = normal(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in closed:
                continue
            closed.add((name, extra))
            if name == "million-ird":
                waiting += [Requirement(line) for line in EXTRAS[extra]] if extra else []
            else:
                waiting += _requirements(name, extra)
    return {name for name, _ in closed}


def create(folder: Path, *extras: str) -> Path:
    """Create an environment of million-ird's dependencies with these extras, by links to what is installed here.

    Returns:
        Its site-packages folder; million-ird itself is not in it.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for name in distributions(*extras) - {"million-ird"}:
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # for another platform or Python
            continue
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            link = site / top
            if not link.exists():
                link.symlink_to(str(distribution.locate_file(top)))
    return site


def python_of(folder: Path) -> Path:
    """Return the interpreter of an environment."""
    return folder / "bin" / "python"


def link_checkout(site: Path) -> None:
    """Make the packages of this checkout importable in an environment."""
    (site / "checkout.pth").write_text(f"{ROOT}\n")
    info = Path(str(metadata.distribution("million-ird").locate_file("")))
    for path in info.glob("million_ird-*.dist-info"):
        (site / path.name).symlink_to(path)


def _requirements(name: str, extra: str) -> Iterable[Requirement]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    found = map(Requirement, lines)
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": extra})]


def normal(name: str) -> str:
    """Return the name of a distribution as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()
