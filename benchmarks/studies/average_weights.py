"""Average the weights of runs that follow each other, as in "Model soups" (arXiv 2203.05482).

    python benchmarks/studies/average_weights.py runs/one runs/two runs/three --out averaged.safetensors

The header is that of the last run, with a note that names the SHA-256 of each file.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from dynet.model.weight_parts import sha256_of
from dynet.model.weights import locate_weights, read_header, read_tensors, write_weights


def average(files: list[Path], to: Path) -> None:
    """Write the mean of the tensors of files, computed in float64, with the header of the last."""
    tensors = [read_tensors(file) for file in files]
    mean = {
        name: torch.stack([each[name].double() for each in tensors]).mean(0).to(tensor.dtype)
        for name, tensor in tensors[-1].items()
    }
    header = read_header(files[-1])
    notes = dict(header.notes) | {"average_of": ", ".join(map(sha256_of, files))}
    write_weights(to, mean, replace(header, notes=notes))
    print(to)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", help="as for --weights of dynet")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    average([locate_weights(source) for source in arguments.weights], arguments.out)


if __name__ == "__main__":
    main()
