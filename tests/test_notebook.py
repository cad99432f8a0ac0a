"""The notebook of the first steps: every cell runs, in order, as a kernel runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs_pages import ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "first_steps.ipynb"
KERNEL = """
import ast, json, sys
space = {"__name__": "__main__"}
for cell in json.loads(sys.argv[1]):
    tree = ast.parse(cell)
    shown = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), space)
    value = eval(compile(ast.Expression(shown.value), "cell", "eval"), space) if shown else None
    if value is not None:
        page = getattr(value, "_repr_html_", None)
        print(page() if page else repr(value))
"""
"""What a kernel does with cells: it runs each, and shows the value of its last line. No file is being run, either."""


def cells(kind: str) -> list[str]:
    """The cells of a kind, in order."""
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def plain(cell: str) -> str:
    """A cell without the magic of IPython, which only installs."""
    return "\n".join(line.replace("%pip install", "pass  #") if "%pip" in line else line for line in cell.splitlines())


def test_it_is_for_colab_too_and_has_no_output() -> None:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert "colab-badge.svg" in cells("markdown")[0]
    assert "google.colab" in cells("code")[0]
    assert "%pip install" in cells("code")[0]
    assert all(not cell["outputs"] for cell in content["cells"] if cell["cell_type"] == "code")
    names = [cell["id"] for cell in content["cells"]]
    assert len(set(names)) == len(names)
    for cell in cells("code"):
        compile(plain(cell), "cell", "exec")


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_every_cell_runs(tmp_path: Path) -> None:
    code = [plain(cell).replace("STEPS = 220", "STEPS = 8") for cell in cells("code")]
    assert sum("STEPS = 8" in cell for cell in code) == 1
    command = [sys.executable, "-c", KERNEL, json.dumps(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "dB after" in done.stdout
    assert "page.png" in done.stdout
    assert "<table" in done.stdout
    assert (tmp_path / "my-set" / "report" / "index.html").is_file()
    assert list((tmp_path / "runs" / "noise").glob("*.safetensors"))
