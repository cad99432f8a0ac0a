"""A page as one script that runs on this machine, command by command and in order; what is not run, and why."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.docs_pages import ELSEWHERE, ROOT, blocks, commands
from tests.docs_recipes import BASE, is_training, laid_over
from tests.docs_world import SMALL

BIN = Path(sys.executable).parent
LONG = "a benchmark of minutes, from a clone"
FOREIGN = "needs weights of another program; tests/dynet/spandrel/test_foreign_network.py has some"
REAL_HUB = "needs tables of the real Hub; tests/million_ird/test_public_tables.py has a server with such ones"
SHARED = "needs the shared images; tests/dynet/model/test_laptop_weights.py reproduces a part"
NOT_RUN = {
    "make setup": "fills .venv from a package index; CI does it before every run of the tests",
    "source .venv/bin/activate": "the tests run in it",
    "make demo": "its commands are those of docs/quick_start.md, which are run",
    "make test": "is what runs this",
    "pip install million-ird": "tests/integration/test_wheel.py installs the wheel",
    "pip install million-ird[train]": "the tests run with all extras",
    "pip install million-ird[train,demo]": "the tests run with all extras",
    "pip install torch --index-url https://download.pytorch.org/whl/cpu": "the tests run with what is installed",
    "pip install million-ird[demo]": "the tests run with all extras",
    "pip install million-ird[export]": "the tests run with all extras",
    "pip install million-ird[ncnn]": "the tests run with all extras",
    "pip install million-ird[spandrel]": "the tests run with all extras",
    "dynet demo": "serves until it is stopped, as below",
    "dynet demo --weights runs/three": "serves until it is stopped; tests/dynet/demo/ and tests/integration/ start it",
    "hf auth login": "asks for a token of the real Hub",
    "python benchmarks/train_speed.py --device cuda --batch 32 --compile": "needs a GPU",
    "python benchmarks/host_tiles.py --weights benchmarks/weights/dynet-noise-rain --width 1024 --window 96": LONG,
    "python benchmarks/seams.py --weights runs/three --window 192": LONG,
    "python benchmarks/local_statistics.py --weights runs/three --crop 128": LONG,
    "python benchmarks/restore.py": LONG,
    "dynet evaluate --weights nafnet.safetensors --benchmark CBSD68=benchmarks/CBSD68 --protocol aio-paper": FOREIGN,
    "dynet restore holiday.jpg --out by-nafnet --weights nafnet.safetensors": FOREIGN,
    "hf download Spawning/PD12M --repo-type dataset --include metadata/*.parquet --local-dir pd12m": REAL_HUB,
    "million-ird plan pd12m/metadata/*.parquet --recipe pd12m --out my-ird": REAL_HUB,
    "million-ird build pd12m/metadata/*.parquet --recipe pd12m --out first-taste --limit 2000": REAL_HUB,
    "million-ird build pd12m/metadata/*.parquet --recipe pd12m --out my-ird": REAL_HUB,
    "million-ird publish my-ird --repo-id me/my-ird": REAL_HUB,
    "million-ird build laion-high-resolution/*.parquet --recipe laion_hr --out my-ird --limit 2000": REAL_HUB,
    "dynet evaluate --weights laptop --protocol aio-paper --benchmark CBSD68=../shared/data/benchmarks/CBSD68 "
    "--out build/aio-paper": SHARED,
    "dynet evaluate --weights laptop --protocol harm --benchmark CBSD68=../shared/data/benchmarks/CBSD68 "
    "--out build/harm": SHARED,
    "python benchmarks/studies/full_width.py pack": "needs the shared pictures; test_studies.py rehearses all three",
    "python benchmarks/studies/full_width.py run --out out --minutes 60": "needs a GPU",
    "python benchmarks/studies/timed_run.py --recipe pipelines/dynet_laptop.yaml --minutes 8 --out out-laptop "
    "--set crop=64 batch=64 precision=bf16": "needs a GPU; test_studies.py rehearses it",
    "python benchmarks/studies/full_width.py keep out-laptop --to weights/longer-laptop --licence other": "needs that",
    "python benchmarks/studies/full_width.py keep out --to weights/longer --licence other": "needs what the GPU left",
}
"""Commands that stand on pages and are not run, each with the reason."""
HERE = {
    "--sources urls.parquet": "--allow-private-hosts --sources urls.parquet",
    "--sources s3://bucket/urls.parquet": "--allow-private-hosts --sources s3://bucket/urls.parquet",
    "site:https://example.org": "site:{web}",
    "dask scheduler &": "dask scheduler --host 127.0.0.1 --port {port} --no-dashboard > scheduler.log 2>&1 &",
    "tcp://head:8786": "tcp://127.0.0.1:{port}",
    "--nworkers 16": "--nworkers 2 --no-dashboard > workers.log 2>&1 &",
    '"cuda"': '"cpu"',
    "/shared/my-set": "shared/my-set",
    "/fast/disk/set": "fast-disk/set",
    "--nproc-per-node 8": "--nproc-per-node 2",
    "--multi_gpu --num_processes 8": "--cpu --num_processes 2 --num_machines 1 --mixed_precision no",
}
"""What stands on a page and is another thing on this machine: servers on loopback, two processes, one's own folders."""
GIVEN = {
    "docs/weights.md": "import torch\n\nx = torch.rand(1, 3, 64, 64)\n",
}
"""What the Python of a page takes as being there."""
QUICK = {"README.md": ("demo_finetune.yaml",)}
"""Recipes of training that run whole on another page (docs/quick_start.md), and shrunk on this one."""
RELEASED = f"""
import csv
import torch

rows = csv.reader(open("{ROOT}/tests/dynet/released_state_dict.tsv"), delimiter="\t")
state = {{"net." + name: torch.randn(*map(int, shape.split("x"))) / 100 for name, shape in rows}}
torch.save({{"state_dict": state}}, "released.ckpt")
"""
BEFORE = {
    "docs/other_programs.md": "mkdir -p ComfyUI/custom_nodes ComfyUI/models",
    "docs/weights.md": f"dynet publish runs/three --repo-id user/name --licence mit\npython -c '{RELEASED}'",
}
"""What the reader of a page has or does before: a model on the Hub, a checkpoint of the released code."""


def is_run(page: str) -> bool:
    """Whether there is anything to run on it here."""
    if page in ELSEWHERE:
        return False
    python = any(block.language == "python" for block in blocks(page))
    return python or any(command.plain not in NOT_RUN for command in commands(page))


def script_of(page: str, **places: object) -> str:
    """The page's commands and its Python, in order, each announced before it runs."""
    lines = ["trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", BEFORE.get(page, "")]
    for block in blocks(page):
        where = f"echo '== {page}:{block.line}' >&2"
        if block.language == "python":
            text = GIVEN.get(page, "") + on_this_machine(block.text, places)
            # A file, not standard input: workers import the script that starts them.
            lines += [where, f"cat > block.py <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\npython block.py"]
        for command in block.commands:
            if command.plain not in NOT_RUN:
                lines += [where, f"set -x\n{on_this_machine(command.text, places)}\n{{ set +x; }} 2>/dev/null"]
    return "\n".join(lines)


def on_this_machine(text: str, places: Mapping[str, object]) -> str:
    """The commands or the Python with what is elsewhere put in its place here."""
    for written, here in HERE.items():
        text = text.replace(written, here.format(**places))
    return text


def prepare(page: str, folder: Path) -> None:
    """Write the recipes that the page shows, and clear away what its own commands are the first to make."""
    for name in QUICK.get(page, ()):
        whole = yaml.safe_load((ROOT / "pipelines" / name).read_text(encoding="utf-8"))
        (folder / name).write_text(yaml.safe_dump(whole | SMALL))
    for block in blocks(page):
        if block.language == "yaml" and block.named:
            content = yaml.safe_load(block.text)
            base = yaml.safe_load((folder / BASE).read_text())
            whole = laid_over(content, base) if is_training(content) else content
            (folder / block.named).write_text(yaml.safe_dump(whole))
    for made in made_by("\n".join(command.plain for command in commands(page))):
        shutil.rmtree(folder / made, ignore_errors=True)


def made_by(text: str) -> set[str]:
    """Folders that the commands make and have not named before."""
    found = set()
    for made in re.finditer(r"mkdir (\S+)|(?:build|train) .*?--out (\S+)(?!.*--resume)", text):
        name = made[1] or made[2]
        before = text[: made.start(1 if made[1] else 2)]
        if not re.search(rf"(?<!\S){re.escape(name)}(?!\S)", before):
            found.add(name)
    return found


def run(script: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Run it in the folder, which is home too; what it said is in the failure."""
    own = {
        "HOME": str(folder),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    told = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        told, cwd=folder, env={**os.environ, **own, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
