"""One run: its steps, its state to resume from, its log, its validation."""
