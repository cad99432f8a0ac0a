"""Check whether a resumed run is bitwise equal to an uninterrupted one on this machine's device.

It trains a narrow version of a shipped recipe without interruption, then again with SIGKILL at some steps, resumed each
time, and compares the weights. Precision, compilation and device are arguments: use those that you will train with.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parent))
import machine

PROGRAM = [sys.executable, "-c", "from dynet.cli.app import main; main()"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a dataset or a folder of images; default: BSDS500 of the shared data")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--policy", default="sandwich", choices=("random", "alternate", "sandwich"))
    parser.add_argument("--dim", type=int, default=8)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "resume.json")
    arguments = parser.parse_args()
    data = arguments.data or str(machine.SHARED / "train" / "BSDS500" / "train")
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(small_recipe(arguments)))
        command = ["train", "--data", data, "--stage", "pretrain", "--config", str(recipe)]
        command += ["--device", arguments.device]
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        start = time.monotonic()
        subprocess.run([*PROGRAM, *command, "--out", str(whole)], check=True)
        took = time.monotonic() - start
        killed_at = [
            kill_after(command, broken, arguments.steps * (n + 1) // (arguments.kills + 1))
            for n in range(arguments.kills)
        ]
        subprocess.run([*PROGRAM, *command, "--out", str(broken), "--resume"], check=True)
        result = {
            "command": " ".join(["python", "benchmarks/resume.py", *sys.argv[1:]]),
            "machine": machine.describe(),
            "device": arguments.device,
            "steps": arguments.steps,
            "killed_with_steps_done": killed_at,
            "seconds_uninterrupted": round(took, 1),
            "sha256": {run.name: digest(run / "weights.safetensors") for run in (whole, broken)},
        }
        result["identical"] = len(set(result["sha256"].values())) == 1
        print(json.dumps(result, indent=1))
        shutil.rmtree(broken)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if result["identical"] else "the resumed run ended with other weights")


def small_recipe(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the pre-training of the demo at another width, with everything that a run may carry between steps."""
    recipe = yaml.safe_load((machine.ROOT / "pipelines" / "demo_pretrain.yaml").read_text())
    small = {"prompt_channels": [8, 16, 48], "prompt_sizes": [32, 16, 8], "refinement_blocks": 2}
    return recipe | {
        "network": {"dim": arguments.dim, **(small if arguments.dim == 8 else {})},
        "steps": arguments.steps,
        "policy": arguments.policy,
        "precision": arguments.precision,
        "compile": arguments.compile,
        "ema": 0.99,
        "gradient_clip": 1.0,
        "validation": {"every": 20, "pictures": 4},
        "checkpoint_every": 7,
        "workers": 2,
    }


def kill_after(command: list[str], run: Path, steps: int) -> int:
    """Start or resume a run, kill it after this many logged steps, and return how many were logged then."""
    process = subprocess.Popen([*PROGRAM, *command, "--out", str(run), "--resume"], start_new_session=True)
    while process.poll() is None and logged_steps(run) < steps:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        sys.exit(f"the run ended before step {steps}: nothing was tested")
    return logged_steps(run)


def logged_steps(run: Path) -> int:
    file = run / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
