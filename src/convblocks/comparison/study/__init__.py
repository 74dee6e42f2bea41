"""The study that decides which network is better at its own best setting; docs/lab/protocol.md says how and why."""
