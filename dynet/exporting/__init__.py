"""One variant of a network as a file for other programs: ONNX, or a program of torch.export."""
