"""The network, its variants and its weights files."""
