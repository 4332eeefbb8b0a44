"""From clients' answers to the server's estimate: clip, quantise, noise, mask, sum."""
