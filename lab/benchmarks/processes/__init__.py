"""The cost of several processes: this project and plain Lightning DDP side by side, and
the messages of a step.
"""
