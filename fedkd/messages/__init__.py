"""Messages between server and clients; the only room that imports Flower."""
