"""What training on a folder of pictures and on colour pictures costs, held against MNIST's own files."""
