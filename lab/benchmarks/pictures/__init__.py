"""The cost of a folder of pictures and of colour pictures beside MNIST's own files."""
