"""Training by gradient: one model in one place, and many students at once."""
