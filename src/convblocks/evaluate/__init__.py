"""``evaluate``, ``validate`` and ``test`` measure a run, ``export`` writes it as ONNX; each run
records its mistakes.
"""
