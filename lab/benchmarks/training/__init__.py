"""The cost of training: five ways, measured side by side."""
