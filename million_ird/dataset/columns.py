"""The columns of images and patches, as arrow schemas that `datasets` reads with the right feature types."""

from collections.abc import Sequence

import pyarrow as pa

from million_ird.ledger import ledger_schema
from million_ird.schema import PATCH_FIELDS

IMAGE_TYPE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_LEDGER_ONLY = frozenset(
    {
        *("tier", "failure_class", "failure_detail", "verdict", "reason", "measured", "limit"),
        *("duplicate_of", "leak_of", "split", "vanished", "frame", "points", "view"),
    }
)


def image_columns(measures: Sequence[str]) -> list[str]:
    """Return the ledger columns that the rows of kept images have."""
    return [field.name for field in ledger_schema(measures) if field.name not in _LEDGER_ONLY]


def images_schema(measures: Sequence[str]) -> pa.Schema:
    """Return the schema of `data/*.parquet`: the image, the hash of its published bytes, then its ledger columns."""
    ledger = ledger_schema(measures)
    columns = [ledger.field(name) for name in image_columns(measures)]
    return _with_features([pa.field("image", IMAGE_TYPE), pa.field("sha256", pa.string()), *columns])


def patches_schema() -> pa.Schema:
    """Return the schema of `patches/*.parquet`: the patch, its name, its image and its box there, its own numbers."""
    text = ["id", "parent", "key", "source", "uri", "licence", "attribution"]
    return _with_features(
        [
            pa.field("image", IMAGE_TYPE),
            *(pa.field(name, pa.string()) for name in text),
            *(pa.field(name, pa.int32()) for name in ("x", "y", "size")),
            *(pa.field(name, pa.float64()) for name in ("scale", *PATCH_FIELDS)),
        ]
    )


def _with_features(fields: list[pa.Field]) -> pa.Schema:
    """Add the metadata that tells `datasets` which struct is an image."""
    from datasets import Features, Image, Value

    features = Features(
        {field.name: Image() if field.type == IMAGE_TYPE else Value(_dtype(field.type)) for field in fields}
    )
    return pa.schema(fields, metadata=features.arrow_schema.metadata)


def _dtype(arrow: pa.DataType) -> str:
    return {"double": "float64"}.get(str(arrow), str(arrow))
