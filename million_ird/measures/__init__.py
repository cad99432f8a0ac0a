"""What can be measured: one measure a file, pixels to numbers, no verdicts."""
