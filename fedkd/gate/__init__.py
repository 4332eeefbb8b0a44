"""The gate, which decides whether a student is good enough to be deployed."""
