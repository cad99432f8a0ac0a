"""The files that `dynet evaluate --out` writes."""

CSV, JSON, MARKDOWN = "per_image.csv", "results.json", "results.md"
