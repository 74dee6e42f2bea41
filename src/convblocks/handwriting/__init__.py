"""``predict`` recognises digits in your own pictures."""
