"""How well, how fast and in how much memory a network restores benchmarks."""
