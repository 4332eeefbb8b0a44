"""Steps that make a trained model smaller, each a file and a line of one table."""
