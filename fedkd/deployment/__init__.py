"""Deployment: a run's student made smaller, exported with all that belongs to it, and read again to recommend."""
