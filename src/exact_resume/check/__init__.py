"""Checks that a training which is stopped and resumed goes on with the same bits."""
