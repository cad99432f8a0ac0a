"""The report: one self-contained HTML file that works from file://."""

from collections.abc import Mapping

import jinja2
import pyarrow as pa

from million_ird.ingest import Source
from million_ird.ledger import funnel
from million_ird.recipe import Recipe
from million_ird.storage import Folder

PATH = "report/index.html"
_PAGE = """<!doctype html><meta charset="utf-8"><title>{{ name }}</title><h1>{{ name }}</h1><table>
<tr><td>candidates<td>{{ f.candidates }}<tr><td>kept<td>{{ f.kept }}
{% for reason, count in f.dropped.items() %}<tr><td>{{ reason }}<td>{{ count }}{% endfor %}</table>"""


def write_report(
    out: Folder, ledger: pa.Table, recipe: Recipe, sources: Mapping[str, Source], seconds: Mapping[str, float]
) -> str:
    """Writes `report/index.html` and returns its path.

    `seconds` is what each measure took in this run; empty where nothing was measured.
    """
    page = jinja2.Template(_PAGE, autoescape=True).render(name=recipe.name, f=funnel(ledger))
    out.write(PATH, page.encode())
    return out.path(PATH)
