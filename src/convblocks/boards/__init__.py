"""TensorBoard's tags, final values and figures, and further loggers, whose curves go on after a resume."""
