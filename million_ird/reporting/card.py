"""The dataset card: `README.md` with the YAML that `datasets.load_dataset` reads, its figures, and `LICENSE.md`.

Everything in it comes from the ledger, the recipe, the footers of the files and the record of releases. Texts from
sources and recipes are escaped where they are inserted (dataset/markdown.py): they are shown as they are and have no
effect as Markdown.
"""

from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path, PurePosixPath

import jinja2
from markupsafe import Markup

from million_ird.config.recipe import Recipe
from million_ird.dataset.layout import (
    CARD,
    CHANGES,
    FIGURES,
    LICENCE_FILE,
    RELEASES,
    count_stripped,
    front_matter,
    hub_configs,
)
from million_ird.dataset.markdown import escape_markdown
from million_ird.dataset.shards import WriteSummary
from million_ird.decide.gate_order import in_cost_order
from million_ird.ledger import Funnel
from million_ird.ledger_stream import LedgerStream
from million_ird.reporting.card_figures import CardFigure, FigureFolds
from million_ird.reporting.counts import FunnelCounts, GroupSizes, LeakCounts, ValueCounts
from million_ird.reporting.formatting import number, plural, share
from million_ird.reporting.rows import Fold, fold
from million_ird.reporting.steps import funnel_steps
from million_ird.runtime.storage import Folder
from million_ird.schema import EXACT, NEAR, PIXELS, REMOVED, SCENE

MAX_TEXT = 300
"""Characters of one text in the card."""


def template_path(name: str) -> Path:
    """Return the path of a card template: in the installed package, or in `cards/` of a checkout."""
    installed = Path(str(resources.files("million_ird") / "cards" / name))
    return installed if installed.is_file() else Path(__file__).parents[2] / "cards" / name


def write_card(
    out: Folder,
    ledger: LedgerStream,
    recipe: Recipe,
    written: WriteSummary,
    *,
    benchmarks: Sequence[str] = (),
    mark: str = "",
) -> None:
    """Write `README.md`, its figures under `card/`, and `LICENSE.md`.

    The same ledger, recipe, files and releases give the same bytes.

    Args:
        out: The dataset's folder, with its shards and ledger files.
        ledger: The decided rows; they are gone through up to three times.
        recipe: The recipe by which they were decided.
        written: What `write_shards` counted.
        benchmarks: Names of all evaluation sets that the candidates were compared with; the card also lists those of
            which no image was found.
        mark: The last line, invisible: says what ledger the dataset was written from; see `million_ird/stages.py`.

    Raises:
        DamagedFile: A footer cannot be read.
    """
    drawn, counts = FigureFolds(in_cost_order(recipe.gates, recipe.tiers)), _CardCounts()
    fold(ledger, [*drawn.ranges, *counts.folds(ledger)])
    for round_of_folds in drawn.rounds():
        fold(ledger, round_of_folds)
    figures = drawn.draw()
    for figure in figures:
        out.write(figure.path, figure.png)
    content = _content(out, counts, recipe, figures, benchmarks) | {
        "images": written.images,
        "patches": written.patches,
    }
    template = _template("dataset.md", recipe)
    # For licences without an identifier the Hub expects a file: it gets the card's own section on licences.
    licences = "".join(template.blocks["licences"](template.new_context(content)))
    out.write(LICENCE_FILE, f"# Licences\n\n{licences}".encode())
    out.write(CARD, (template.render(content) + (f"\n{mark}\n" if mark else "")).encode())
    for name in out.names(FIGURES):
        if f"{FIGURES}/{name}" not in {figure.path for figure in figures}:
            out.remove(f"{FIGURES}/{name}")  # from an earlier recipe


class _CardCounts:
    """What the card counts in the ledger, in one pass."""

    def __init__(self) -> None:
        self.funnel, self.groups, self.leaks = FunnelCounts(), GroupSizes(), LeakCounts()
        self.sources, self.licences = ValueCounts("source"), ValueCounts("licence")

    def folds(self, ledger: LedgerStream) -> list[Fold]:
        """Return the folds whose columns the ledger has."""
        folds: list[Fold] = [self.funnel, self.groups, self.leaks, self.sources, self.licences]
        return [one for one in folds if {*one.columns} <= {*ledger.column_names}]


def _content(
    out: Folder, counts: _CardCounts, recipe: Recipe, figures: Sequence[CardFigure], benchmarks: Sequence[str]
) -> dict[str, object]:
    """Return the template's variables, except for the counts of what was written."""
    configs, counted, release = hub_configs(out), counts.funnel.funnel(), _latest_release(out)
    yaml = front_matter(configs, name=recipe.name, licence=counts.licences.hub_licence())
    return {
        "front_matter": Markup(yaml),
        "name": recipe.name,
        "version": Markup(metadata.version("million-ird")),
        "digest": Markup(recipe.digest),
        "recipe": recipe,
        "configs": configs,
        "held_out": any(len(config.splits) > 1 for config in configs),
        "funnel": counted,
        "steps": funnel_steps(counted, recipe),
        "gates": in_cost_order(recipe.gates, recipe.tiers),
        "figures": {
            PurePosixPath(figure.path).stem: {"path": figure.path, "text": _alternative_text(figure)}
            for figure in figures
        },
        "duplicates": _duplicates(counted),
        "groups": counts.groups.stats(),
        "leaks": counts.leaks.counts(benchmarks),
        "removed": counted.dropped.get(REMOVED, 0),
        "sources": counts.sources.most_kept(),
        "licences": counts.licences.most_kept(kept_only=True),
        "stripped": sum(count_stripped(out, config) for config in configs if config.name == "images"),
        "release": release,
        "changes": release is not None and out.exists(CHANGES),
    }


def _template(name: str, recipe: Recipe) -> jinja2.Template:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_escape,
    )
    filters = {"count": _count, "plural": _plural, "number": number, "share": share, "size": _size}
    environment.filters |= {**filters, "meaning": lambda column: _description(recipe.description(column))}
    return environment.from_string(template_path(name).read_text(encoding="utf-8"))


def _escape(value: object) -> object:
    """Escape every text that the template inserts, unless it is marked as Markdown of our own."""
    ours = not isinstance(value, str) or isinstance(value, Markup) or value == ""
    return value if ours else escape_markdown(str(value), MAX_TEXT)


def _alternative_text(figure: CardFigure) -> Markup:
    return Markup(escape_markdown(figure.text, 20 * MAX_TEXT))


def _description(sentence: str) -> Markup:
    return Markup(escape_markdown(sentence, 4 * MAX_TEXT) if sentence else "")


def _count(value: int) -> Markup:
    return Markup(f"{value:,}")


def _plural(count: int, singular: str, many: str = "") -> Markup:
    return Markup(plural(count, singular, many))


def _size(count: int) -> Markup:
    """Return bytes in a unit that is easy to read: `512 B`, `1.2 MB`, `3.4 TB`."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return Markup(f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}")


def _duplicates(counted: Funnel) -> list[tuple[str, int]]:
    kinds = {
        EXACT: "the same bytes",
        PIXELS: "the same pixels in another file",
        NEAR: "near-duplicates",
        SCENE: "near scenes",
    }
    return [(kind, counted.dropped[reason]) for reason, kind in kinds.items() if counted.dropped.get(reason)]


def _latest_release(out: Folder) -> dict[str, object] | None:
    releases = out.read_json(RELEASES) or []
    return max(releases, key=lambda release: int(release["version"]), default=None)
