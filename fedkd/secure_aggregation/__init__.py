"""Secure sums: the server learns the sum of the clients' whole numbers and no single client's numbers.

The protocol is that of Bell, Bonawitz, Gascón, Lepoint and Raykova (CCS 2020), which makes the one of Bonawitz et al.
(CCS 2017) sparse. A round has four messages each way; ``Party`` is the client's side, ``SecureSum`` the server's.

1. *advertise*: an X25519 key for this round, signed by the client's Ed25519 identity.
2. *share*: what the neighbours in a public graph lack to hold Shamir shares of the round's two secrets, and a table of
   the seeds of the pairwise masks, locked with the second secret.
3. *mask*: the vector modulo ``2**bits`` under a mask of the client's own and one mask per neighbour, which cancel.
4. *unmask*: of every neighbour one share: of the seed of its own mask if it was summed, else of its table's key.

In the papers every pair agrees on a second X25519 secret, and the private key for it is what is shared, so that the
pairwise masks of a client that dropped out can be computed again. The locked table does the same with half the
agreements: its key gives what that private key gives, the pairwise seeds of this one client, and without it the entries
stand under pads of a pseudorandom function. A share travels as its difference to one that the holder derives, a
one-time pad in the field; a difference changed on the way makes a wrong share, which the digest of the secret shows.

Guarantees
----------
The server and any ``threshold - 1`` neighbours of a client, pooling all they see, learn about the vectors of that
client and the other honest ones no more than the sum over all honest survivors, as long as

* the server follows the protocol: it shows everybody one cohort, one run and round, and one set of survivors, of whom
  none is left out for where it stands in the graph;
* every client holds the true public identities beforehand, and identities are as scarce as clients.

``graph.shape`` chooses the threshold: if 10 % of the clients (rounded up) collude at random, the chance that any
client has ``threshold`` of them as neighbours is below 2**-30. Of two clients, each learns the other's vector from the
sum. The sum is exact modulo ``2**bits``. Up to 30 % of the cohort may drop out in any phases after *advertise*; the
chance that random drop-outs of that size stop the sum is below 2**-20. A client that answers nonsense counts as dropped
out; shares that do not fit are found and done without, as long as ``threshold`` sound ones came.

Against a server that deviates, the clients refuse: keys that their owner did not sign for this very round, neighbours
other than the public graph's, a cohort or a set of survivors below the minimum, fewer than ``threshold`` neighbours,
survivors between whom half of the neighbours in a row are gone, so that the sum could be taken in parts, and every
second request of a kind that differs from the first, so that no client gives both shares of a neighbour or masks two
vectors in one round. Keys are bound to the cohort, so clients that are shown different ones have no masks in common.
They cannot see a server that tells different clients of different survivors. In a cohort of 8 to 32, where everybody is
everybody's neighbour, no sets of survivors find enough answers, even if one client in ten colludes; in a larger, sparse
graph they can, and a server that lies so can open a single vector. It can also try cohorts and round numbers until
colluding clients surround one client or fill a gap, and fill a cohort with clients of its own.

Limits
------
* The sum itself is open: it takes noise to hide a client in it, and sums over different cohorts may be subtracted. A
  caller must see to it that one question is opened for one cohort alone (`clients/secure.py` does).
* Nothing bounds a vector: one client can add any numbers, and so spoil or steer the sum; one that locks a false table
  and drops out spoils it too. One that deals shares which do not fit together can stop the sum; the error names it.
* Who takes part, when, and who drops out is visible, and so is the length of the vectors.
* Masks hide what was answered, not what was asked: a server that asks the others something to which the answer is known
  learns the rest.
* Secrets are dropped when the masks have been opened, or when the next round begins; Python does not wipe memory.
* A device plays one round at a time; one that another run begins meanwhile ends the first.
"""

from fedkd.secure_aggregation.errors import RefusedError, SumError
from fedkd.secure_aggregation.keys import Directory, Identity
from fedkd.secure_aggregation.party import Party
from fedkd.secure_aggregation.sums import SecureSum

__all__ = ["Directory", "Identity", "Party", "RefusedError", "SecureSum", "SumError"]
