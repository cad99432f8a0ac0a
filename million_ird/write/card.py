"""The data-set card: `README.md` with the YAML that `datasets.load_dataset` reads, filled from the ledger."""

from importlib import metadata, resources
from pathlib import Path

import jinja2
import pyarrow as pa
import pyarrow.compute as pc

from million_ird.cascade import in_cost_order
from million_ird.ledger import KEPT, funnel
from million_ird.recipe import Recipe
from million_ird.storage import Folder
from million_ird.write.shards import Written

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def template_path(name: str) -> Path:
    """A card template: inside the installed package, or `cards/` of a checkout."""
    installed = Path(str(resources.files("million_ird") / "cards" / name))
    return installed if installed.is_file() else Path(__file__).parents[2] / "cards" / name


def write_card(out: Folder, ledger: pa.Table, recipe: Recipe, written: Written) -> None:
    """Writes `README.md`; the same ledger and recipe give the same bytes."""
    counted = funnel(ledger)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)
    template = environment.from_string(template_path("dataset.md").read_text(encoding="utf-8"))
    text = template.render(
        name=recipe.name,
        version=metadata.version("million-ird"),
        recipe_name=recipe.name,
        recipe_digest=recipe.digest,
        size_category=next((name for most, name in _SIZES if written.images < most), "n>1M"),
        images=written.images,
        patches=written.patches,
        patch_size=recipe.patches.size,
        candidates=counted.candidates,
        dropped=counted.dropped,
        failures=counted.failures,
        gates=in_cost_order(recipe.gates, recipe.columns),
        exact=recipe.duplicates.exact,
        radius=recipe.duplicates.radius,
        sources=_by_source(ledger),
    )
    out.write("README.md", text.encode())


def _by_source(ledger: pa.Table) -> list[dict[str, object]]:
    kept = pc.equal(ledger["verdict"], KEPT).cast(pa.int64())
    table = pa.table({"label": ledger["source"], "kept": kept})
    grouped = table.group_by("label").aggregate([("kept", "count"), ("kept", "sum")]).sort_by("label")
    return [
        {"label": row["label"], "candidates": row["kept_count"], "kept": row["kept_sum"]} for row in grouped.to_pylist()
    ]
