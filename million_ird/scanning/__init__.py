"""Candidates to scanned rows: streamed from elsewhere, measured cheapest first, kept as columns to decide on."""
