"""Folders of pictures as data: decoded once, or batch by batch where they do not fit into memory."""
