"""The commands `restore`, `train`, `evaluate` and `export` as functions, which `dynet` has as its public names."""
