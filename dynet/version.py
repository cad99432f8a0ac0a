"""The version of this package, in a module of its own: the lowest modules need it, and import nothing above them."""

__version__ = "0.1.0"
