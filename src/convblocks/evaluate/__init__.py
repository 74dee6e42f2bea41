"""``evaluate`` tests a checkpoint, ``export`` writes it as ONNX; each run records its mistakes."""
