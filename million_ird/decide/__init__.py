"""Numbers to verdicts: pure functions that read no image."""
