"""Tasks other than the classification of images."""
