"""What can be asked of a build without changing it: what it would do, how far it is, why, and whether it is whole."""
