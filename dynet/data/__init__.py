"""Training data: datasets and folders to crops."""
