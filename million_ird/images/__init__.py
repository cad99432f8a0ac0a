"""The only decoding and encoding of images."""
