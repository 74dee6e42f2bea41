"""Whether a training that is stopped and resumed goes on with the same bits."""
