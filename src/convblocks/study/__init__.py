"""``study``: the study of the notebook's question."""
