"""From files to batches: what is on the disk, how it is moved, and which image goes into which batch."""
