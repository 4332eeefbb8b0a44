"""Central differential privacy: a trusted server adds Gaussian noise to the exact sum."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.privacy.mechanisms.base import FINEST, Mechanism
from fedkd.privacy.mechanisms.description import Way
from fedkd.privacy.randomness import noise_generator, rounded_normal


class Central(Mechanism):
    """Gaussian noise on the sum, added by the server before anything is taught."""

    name: ClassVar[str] = "central"
    strength: ClassVar[int] = 1
    server_pays: ClassVar[bool] = True
    trust: ClassVar[str] = (
        "the server is trusted with the exact sum of the answers, and adds the noise to it before anything is taught; "
        "whoever sees only models learns at most this"
    )
    way: ClassVar[Way] = Way(
        client="clips its answer",
        total="the exact sum",
        server="adds noise",
        models="(epsilon, delta)",
        single="without noise",
        attacked="Mode central trusts the server: single answers reach it without noise.",
    )

    def server_noise(self, exact: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum with rounded Gaussian noise."""
        return exact + rounded_normal(self.multiplier / FINEST, 1, np.shape(exact), noise_generator())
