"""Published formats by name: one small description each, and the readers that they share."""
