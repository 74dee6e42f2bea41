"""Reads folders of pictures: decoded once, or batch by batch if they do not fit in memory."""
