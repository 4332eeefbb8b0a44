"""Sources, cleaning, splits and partitions of interaction data."""
