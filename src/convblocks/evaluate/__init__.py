"""``evaluate`` and ``export``: a checkpoint on a test set, ONNX; and the mistakes of each run."""
