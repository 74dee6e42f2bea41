"""``predict`` recognises digits in your own pictures, or writes what a module predicts."""
