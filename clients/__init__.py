"""The clients: ClientApp, students and their state on disk."""
