"""Predictions for a user's own pictures: from files on the command line, or drawn in a browser."""
