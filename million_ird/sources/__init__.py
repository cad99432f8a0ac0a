"""Where candidates come from: one kind of source a file."""
