"""Models in memory and pictures on their way through them; no Flask here, and nothing of training."""
