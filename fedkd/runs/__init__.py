"""The configuration, the folder and the federation of a run."""
