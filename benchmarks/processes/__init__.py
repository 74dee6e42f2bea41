"""What several processes cost: this project and plain Lightning DDP side by side, and what is sent in a step."""
