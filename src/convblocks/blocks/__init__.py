"""``BlockNetwork``: the course's convolutional networks, with every operation exchangeable."""
