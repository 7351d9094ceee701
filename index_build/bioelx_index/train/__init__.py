"""Making the encoder: convert a base model, cut its vocabulary, export it to a small ONNX file."""
