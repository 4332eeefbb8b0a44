"""Privacy mechanisms, one a file: clipping, noise, its cost, who pays, who sees what, and the sentences that say so."""
