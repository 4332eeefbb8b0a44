"""Loss functions, one value per example; central and batched training call the same ones."""
