"""Reading, decoding and encoding of images; nothing else in the package decodes or encodes."""
