"""The command ``fedkd``."""
