"""`make demo`: from the photographs in scikit-image to a dataset, a trained network and a restored image.

Every step is a command that you can run yourself; each is printed before it runs. A second run resumes.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
SIDECARS = {".py", ".pyi", ".txt", ".xml", ".npy", ".npz"}
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
HELD_OUT = "motorcycle_left.png"
"""Not among the sources of the build, so the restored image was not in the training data."""
OTHER_VIEW = "motorcycle_right.png"
SIGMA = 25.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo_output"))
    out: Path = parser.parse_args().out
    started = time.monotonic()
    images, dataset = out / "pictures", out / "dataset"
    prepare(images, out / "held_out", out / "noisy")

    title("1. Build a dataset: keep the photographs, drop the rest, each with a reason")
    funnel = run("million-ird", "build", "--sources", images, "--out", dataset, "--recipe", HERE / "demo.yaml")
    print(funnel)
    explanation = (run("million-ird", "explain", dataset, "page.png") or "").splitlines()
    print(next(line.strip() for line in explanation if line.strip().startswith(("kept", "dropped", "failed"))))
    show_dataset(dataset)

    title("2. Pre-train all variants in one run, then fine-tune on noise")
    pretrained, finetuned = out / "pretrain", out / "finetune"
    for stage, run_folder, extra in (
        ("pretrain", pretrained, []),
        ("finetune", finetuned, ["--init", pretrained]),
    ):
        config = HERE / f"demo_{stage}.yaml"
        train(run_folder, "--data", dataset, "--stage", stage, "--config", config, "--out", run_folder, *extra)
        losses = [json.loads(line)["loss"] for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
        tenth = max(1, len(losses) // 10)
        first, last = np.mean(losses[:tenth]), np.mean(losses[-tenth:])
        print(f"{stage}: {len(losses)} steps, loss {first:.4f} → {last:.4f} (first and last tenth)")

    title("3. Restore a noisy photograph with both variants")
    restored = out / "restored"
    options = ["--out", restored, "--weights", finetuned, "--variants", "S,L", "--compare", "--overwrite"]
    run("dynet", "restore", out / "noisy", *options)
    report_psnr(out / "held_out" / HELD_OUT, out / "noisy" / HELD_OUT, restored)

    title(f"Done in {time.monotonic() - started:.0f} s. Where to look")
    for what, where in (
        ("the report of the build", dataset / "report" / "index.html"),
        ("the dataset and its card", dataset / "README.md"),
        ("loss curves (tensorboard --logdir)", out),
        ("before and after, side by side", next(iter(sorted(restored.glob("*compare*"))), restored)),
    ):
        print(f"  {what:<36}{where}")


def prepare(images: Path, held_out: Path, noisy: Path) -> None:
    """Create the sources: scikit-image's images, two duplicates, two flat images; and, separately, a noisy image."""
    import skimage.data

    images.mkdir(parents=True, exist_ok=True)
    bundled = Path(skimage.data.__file__).parent
    for path in sorted(bundled.iterdir()):
        is_image = path.is_file() and path.suffix not in SIDECARS and path.name not in {HELD_OUT, OTHER_VIEW}
        if is_image and not (images / path.name).exists():
            shutil.copyfile(path, images / path.name)
    if not (images / "coffee_again.png").exists():
        shutil.copyfile(images / "coffee.png", images / "coffee_again.png")
        Image.open(images / "coffee.png").convert("RGB").save(images / "coffee_saved_as_jpeg.jpg", quality=85)
        Image.new("RGB", (640, 480), (32, 96, 160)).save(images / "plain_blue.png")
        gradient = np.tile(np.linspace(0, 255, 640), (480, 1)).astype(np.uint8)
        Image.fromarray(gradient).save(images / "gradient.png")
    if not (noisy / HELD_OUT).exists():
        held_out.mkdir(parents=True, exist_ok=True)
        noisy.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundled / HELD_OUT, held_out / HELD_OUT)
        clean = np.asarray(Image.open(held_out / HELD_OUT).convert("RGB"), np.float64)
        noise = np.random.default_rng(0).normal(0, SIGMA, clean.shape)
        Image.fromarray(np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)).save(noisy / HELD_OUT)


def show_dataset(dataset: Path) -> None:
    """Load the three configurations as any user of `datasets` would."""
    from datasets import load_dataset

    for config in ("images", "patches", "ledger"):
        rows = load_dataset(str(dataset), config, split="train")
        print(f'load_dataset("{dataset}", "{config}"): {rows.num_rows} rows, {len(rows.column_names)} columns')


def report_psnr(clean: Path, noisy: Path, restored: Path) -> None:
    """Print how close each variant's output is to the clean image."""
    target = np.asarray(Image.open(clean).convert("RGB"), np.float64)

    def psnr(path: Path) -> float:
        error = np.asarray(Image.open(path).convert("RGB"), np.float64) - target
        return float(10 * np.log10(255**2 / np.mean(error**2)))

    print(f"noisy: {psnr(noisy):.2f} dB")
    for path in sorted(restored.rglob(f"{noisy.stem}*")):
        if "compare" not in path.name:
            print(f"{path.relative_to(restored)}: {psnr(path):.2f} dB")


def title(text: str) -> None:
    print(f"\n{text}\n{'─' * min(79, len(text))}", flush=True)


def train(folder: Path, *options: object) -> None:
    """Train or resume; start again if the dataset or the recipe has changed since the run started."""
    if run("dynet", "train", *options, "--resume", may_refuse=folder.exists()) is None:
        print(f"{folder} was trained on other data or by another recipe: starting again")
        shutil.rmtree(folder)
        run("dynet", "train", *options)


def run(program: str, *arguments: object, may_refuse: bool = False) -> str | None:
    """Print and run a command of one of the two programs; stop the demo if it fails.

    Returns:
        Its stdout; None if it refused its arguments (exit code 2) and `may_refuse` allows that.
    """
    words = [str(a) for a in arguments]
    print(f"$ {program} {shlex.join(words)}", flush=True)
    command = [str(Path(sys.executable).parent / program), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 2 and may_refuse:
        return None
    if done.returncode:
        sys.exit(f"{program} ended with code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
