"""Verification of the patches of one image: cut again from the image, and compared."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from million_ird.config.gates import first_drop
from million_ird.config.recipe import Recipe
from million_ird.dataset.patches import cut_patches, measure_patch, patch_id
from million_ird.errors import ReadError
from million_ird.images.decode import decode
from million_ird.images.header import read_header
from million_ird.ledger import Row


def patch_faults(name: str, parent: NDArray[np.uint8], patches: Sequence[Row], recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong with the patches of an image.

    Args:
        name: The image's id.
        parent: Its pixels, (H, W, 3).
        patches: Rows of patches, each with its encoded image.
        recipe: Says how patches are cut and which are dropped.
    """
    expected = dict(_expected_patches(name, parent, recipe))
    for row in patches:
        patch = str(row.get("id"))
        content = expected.pop(patch, None)
        if content is None:
            yield f"patches: {patch} appears twice, or the recipe does not cut it"
        elif not _is_patch(row, *content):
            yield f"patches: {patch}: not the pixels of its box, or not its numbers"
    for patch in expected:
        yield f"patches: {patch} is missing"


def _expected_patches(
    name: str, parent: NDArray[np.uint8], recipe: Recipe
) -> Iterator[tuple[str, tuple[NDArray[np.uint8], Row]]]:
    """Yield the patches that the recipe cuts from an image: id, and pixels with columns."""
    for scale, box, pixels in cut_patches(parent, recipe.patches.size, recipe.patches.scales):
        numbers = measure_patch(pixels)
        if first_drop(recipe.patches.gates, numbers) is None:
            place: Row = {"x": box.x, "y": box.y, "size": box.size, "scale": scale}
            yield patch_id(name, scale, box), (pixels, {**place, **numbers})


def _is_patch(row: Row, pixels: NDArray[np.uint8], columns: Mapping[str, object]) -> bool:
    if not all(_same(row.get(name), value) for name, value in columns.items()):
        return False
    encoded = image_bytes(row)
    try:
        return np.array_equal(decode(encoded, read_header(encoded)), pixels)
    except ReadError:
        return False


def image_bytes(row: Row) -> bytes:
    """Return the encoded image of a row; nothing if it has none."""
    image = row.get("image")
    encoded = image.get("bytes") if isinstance(image, dict) else None
    return encoded if isinstance(encoded, bytes) else b""


def _same(value: object, expected: object) -> bool:
    """Return whether two values are equal; floats may differ by the rounding of another processor."""
    if isinstance(value, float) and isinstance(expected, float):
        return math.isclose(value, expected, rel_tol=1e-6)
    return value == expected
