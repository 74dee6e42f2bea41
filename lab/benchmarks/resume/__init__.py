"""What exact_resume costs any Trainer: a step, a save, and a resume within an epoch."""
