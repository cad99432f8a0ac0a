"""Export of one variant of a network as a file for other runtimes."""
