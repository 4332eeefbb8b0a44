"""Local differential privacy: every client noises its own answer, and nobody is trusted."""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.privacy.mechanisms.base import FINEST, Mechanism
from fedkd.privacy.mechanisms.description import Way
from fedkd.privacy.randomness import noise_generator, rounded_normal


class Local(Mechanism):
    """Gaussian noise on every single answer."""

    name: ClassVar[str] = "local"
    strength: ClassVar[int] = 3
    client_pays: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    trust: ClassVar[str] = (
        "nobody is trusted: every client adds all the noise to its own answer before it leaves; add-remove hides an "
        "answer against an empty one, replace-one against that of any other history"
    )
    way: ClassVar[Way] = Way(
        client="clips, adds all noise",
        total="each (epsilon, delta)",
        server="",
        models="(epsilon, delta)",
        single="all its noise in each",
        attacked="Mode local: a single answer carries all the noise.",
    )

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of all participants together, over the clip."""
        return self.multiplier * math.sqrt(self.participants)

    def client_noise(self, exact: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Return the sum with rounded Gaussian noise, drawn client by client."""
        return exact + rounded_normal(self.multiplier / FINEST, count, exact.shape, noise_generator())
