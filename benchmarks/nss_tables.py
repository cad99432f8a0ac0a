"""Write the tables in which BRISQUE looks up shapes, with PyTorch's rounding: `python benchmarks/nss_tables.py`."""

import numpy as np
import torch
from labelled_sets import ROOT

OUT = ROOT / "million_ird" / "measures" / "nss_tables.npz"


def tables() -> dict[str, np.ndarray]:
    """Return the shapes and the two ratios of their gamma functions, (9801,) float32 each."""
    shapes = torch.arange(0.2, 10.001, 0.001)
    one, two, three = (torch.lgamma(k / shapes) for k in (1, 2, 3))
    rising, falling = torch.exp(2 * two - (one + three)), torch.exp(one + three - 2 * two)
    return {"shapes": shapes.numpy(), "rising": rising.numpy(), "falling": falling.numpy()}


if __name__ == "__main__":
    np.savez_compressed(OUT, **tables())
    print(f"{OUT}: {OUT.stat().st_size:,} bytes")
