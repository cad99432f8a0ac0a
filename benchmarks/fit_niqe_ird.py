"""Fit the pristine model that is shipped as `niqe_ird`: `python benchmarks/fit_niqe_ird.py`.

It is fitted to the tuning half (`labelled_sets.is_tuning`) of the good photographs and of BSDS500's training images:
the first are few but as large as the images that are curated, the second add variety. Only means and covariances of 36
numbers are written, no image.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from labelled_sets import ROOT, data_folder, is_tuning
from numpy.typing import NDArray
from PIL import Image

from million_ird.measures.nss_fit import fit_niqe
from million_ird.measures.nss_models import save_niqe

OUT = ROOT / "million_ird" / "measures" / "niqe_ird.npz"


def photographs(data: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the photographs, (H, W, 3) uint8 each, sorted by name."""
    for path in (*sorted((data / "photos").iterdir()), *sorted((data / "train/BSDS500/train").glob("*.jpg"))):
        if is_tuning(path.name):
            yield np.asarray(Image.open(path).convert("RGB"))


if __name__ == "__main__":
    save_niqe(fit_niqe(photographs(data_folder())), OUT)
    print(f"{OUT}: {OUT.stat().st_size:,} bytes")
