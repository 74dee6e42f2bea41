"""``new`` makes a project of your own."""
