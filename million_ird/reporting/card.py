"""The data-set card: `README.md` with the YAML that `datasets.load_dataset` reads, its pictures, and `LICENSE.md`.

Everything in it is read from the ledger, the recipe, the footers of the files and the record of releases; words that
come from sources and recipes are escaped where they are put in (markdown.py), so that they show and do nothing.
"""

from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path, PurePosixPath

import jinja2
import pyarrow as pa
from markupsafe import Markup

from million_ird.config.recipe import Recipe
from million_ird.dataset.layout import CHANGES, LICENCE_FILE, RELEASES, front_matter, parts, stripped
from million_ird.dataset.markdown import escaped
from million_ird.dataset.shards import Written
from million_ird.decide.gate_order import in_cost_order
from million_ird.ledger import EXACT, NEAR, PIXELS, REMOVED, Funnel, funnel
from million_ird.reporting import card_counts, card_figures
from million_ird.reporting.card_figures import Figure
from million_ird.reporting.formatting import meaning, number, share
from million_ird.reporting.steps import steps
from million_ird.runtime.storage import Folder

CARD = "README.md"
LONGEST = 300
"""Characters of one text in the card."""


def template_path(name: str) -> Path:
    """A card template: inside the installed package, or `cards/` of a checkout."""
    installed = Path(str(resources.files("million_ird") / "cards" / name))
    return installed if installed.is_file() else Path(__file__).parents[2] / "cards" / name


def write_card(
    out: Folder, ledger: pa.Table, recipe: Recipe, written: Written, *, benchmarks: Sequence[str] = ()
) -> None:
    """Writes `README.md`, the pictures that it shows under `card/`, and `LICENSE.md`.

    The same ledger, recipe, files and releases give the same bytes.

    Args:
        out: the data set; its shards and ledger files are there.
        ledger: the decided rows.
        recipe: by which they were decided.
        written: what `shards.write` counted.
        benchmarks: names of the evaluation sets that were looked for, so that those of which nothing was found are
            named too.

    Raises:
        DamagedFile: a footer cannot be read.
    """
    drawn = card_figures.figures(ledger, in_cost_order(recipe.gates, recipe.columns))
    for figure in drawn:
        out.write(figure.path, figure.png)
    content = _content(out, ledger, recipe, drawn, benchmarks) | {"images": written.images, "patches": written.patches}
    template = _template("dataset.md")
    # The Hub wants a file for licences that it has no name for: the card's own section on them.
    licences = "".join(template.blocks["licences"](template.new_context(content)))
    out.write(LICENCE_FILE, f"# Licences\n\n{licences}".encode())
    out.write(CARD, template.render(content).encode())
    for name in out.names(card_figures.FOLDER):
        if f"{card_figures.FOLDER}/{name}" not in {figure.path for figure in drawn}:
            out.remove(f"{card_figures.FOLDER}/{name}")  # of an earlier recipe


def _content(
    out: Folder, ledger: pa.Table, recipe: Recipe, drawn: Sequence[Figure], benchmarks: Sequence[str]
) -> dict[str, object]:
    """What the template names, but for the counts of what was written."""
    found, counted, release = parts(out), funnel(ledger), _latest_release(out)
    yaml = front_matter(found, name=recipe.name, licence=card_counts.hub_licence(ledger))
    return {
        "front_matter": Markup(yaml),
        "name": recipe.name,
        "version": Markup(metadata.version("million-ird")),
        "digest": Markup(recipe.digest),
        "recipe": recipe,
        "parts": found,
        "held_out": any(len(part.splits) > 1 for part in found),
        "funnel": counted,
        "steps": steps(counted, recipe),
        "gates": in_cost_order(recipe.gates, recipe.columns),
        "figures": {PurePosixPath(one.path).stem: {"path": one.path, "text": _alternative(one)} for one in drawn},
        "copies": _copies(counted),
        "groups": card_counts.groups_of_copies(ledger),
        "leaks": card_counts.leaks(ledger, benchmarks),
        "removed": counted.dropped.get(REMOVED, 0),
        "sources": card_counts.shares(ledger, "source"),
        "licences": card_counts.shares(ledger, "licence", of_kept=True),
        "stripped": sum(stripped(out, part) for part in found if part.config == "images"),
        "release": release,
        "changes": release is not None and out.exists(CHANGES),
    }


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_escaped,
    )
    environment.filters |= {"count": _count, "number": number, "share": share, "size": _size, "meaning": _meaning}
    return environment.from_string(template_path(name).read_text(encoding="utf-8"))


def _escaped(value: object) -> object:
    """Whatever a template puts in is text to be shown, unless it is marked as Markdown of our own."""
    ours = not isinstance(value, str) or isinstance(value, Markup) or value == ""
    return value if ours else escaped(str(value), LONGEST)


def _alternative(figure: Figure) -> Markup:
    return Markup(escaped(figure.text, 20 * LONGEST))


def _meaning(field: str) -> Markup:
    said = meaning(field)
    return Markup(escaped(said, 4 * LONGEST) if said else "")


def _count(value: int) -> Markup:
    return Markup(f"{value:,}")


def _size(count: int) -> Markup:
    """Bytes as people read them: `512 B`, `1.2 MB`, `3.4 TB`."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return Markup(f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}")


def _copies(counted: Funnel) -> list[tuple[str, int]]:
    told = {EXACT: "the same bytes", PIXELS: "the same pixels in another file", NEAR: "near copies"}
    return [(words, counted.dropped[reason]) for reason, words in told.items() if counted.dropped.get(reason)]


def _latest_release(out: Folder) -> dict[str, object] | None:
    releases = out.read_json(RELEASES) or []
    return max(releases, key=lambda one: int(one["version"]), default=None)
