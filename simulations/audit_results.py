"""Comparisons of a run's privacy guarantee with the leakage that canaries prove."""

import math
import secrets
from dataclasses import dataclass, replace

import numpy as np

from fedkd.attacks.ballots import ballot_epsilon
from fedkd.attacks.canaries import CONFIDENCE, CanaryAudit, Claim, audit
from fedkd.attacks.gradients import gradient_multiplier
from fedkd.attacks.releases import joined, release_path
from fedkd.errors import UserError
from fedkd.messages.types import LowRankUpdate
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.events import Cost
from fedkd.privacy.mechanisms.base import METRICS, PANEL, Mechanism
from fedkd.privacy.mechanisms.votes import VoteMechanism
from fedkd.privacy.student_options import StudentPrivacy
from fedkd.runs.config import Config
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import mechanisms, student_noise
from fedkd.runs.folder import RunFolder

TOGETHER = 250
"""Canaries in one call of the mechanism."""


@dataclass(frozen=True)
class Line:
    """The result of one attack, compared with the run's guarantee.

    Attributes
    ----------
    attack : str
        Name of the attack and its metric.
    claimed : float, optional
        The largest value that the run's guarantee allows; None where it promises nothing.
    measured : float
        The lower bound that the attack proves.
    value, random : float, optional
        The success of the attack, and that of a random guess.
    confidence : float
        Confidence in ``measured``.
    note : str
        Size and assumptions of the attack.
    about : str
        Conditions of the numbers, where they differ from those of the run's answers.
    single : bool
        Whether clients' single answers were attacked.
    """

    attack: str
    claimed: float | None
    measured: float
    confidence: float
    value: float | None = None
    random: float | None = None
    note: str = ""
    about: str = ""
    single: bool = False

    @property
    def exceeded(self) -> bool:
        """Whether more leaks than is claimed."""
        return self.claimed is not None and self.measured > self.claimed

    def sentence(self, conditions: str) -> str:
        """Return the comparison in words, with the conditions of its numbers."""
        claimed = "nothing is claimed" if self.claimed is None else f"claimed at most {self.claimed:.4g}"
        measured = f"measured at least {self.measured:.4g}"
        return f"{self.attack}: {claimed}, {measured} ({self.about or conditions}, confidence {self.confidence:g})"


def canary_lines(config: Config, everyone: DrySimulation, canaries: int) -> list[Line]:
    """Audit the release of a run's answers with canaries; nothing where nothing is protected."""
    options = config.privacy
    if options.epsilon is None or options.delta is None:
        return []
    claim = Claim(options.epsilon, options.delta, options.unit, options.adjacency)
    rng = np.random.default_rng(secrets.randbits(128))
    planned = everyone.mechanism
    if isinstance(planned, VoteMechanism):
        found = ballot_epsilon(planned, claim, rng, canaries)
        how = f"{canaries:,} releases of one voter's votes, no assumption"
        return [Line("epsilon by a voter", claim.epsilon, found, CONFIDENCE, note=how)]
    attacked = joined([(release_path(*part), part[0].multiplier) for part in released(config, everyone, planned)])
    return _canary_lines(audit(attacked, claim, 1.0, rng, canaries, min(TOGETHER, canaries)), claim)


def released(
    config: Config, everyone: DrySimulation, planned: Mechanism
) -> list[tuple[Mechanism, dict[str, float], bool]]:
    """Return a run's releases about a client: for each the noise, the bounds, and whether it is sent as factors.

    These are the answers, and the items and the metrics if they have a share of the budget.
    """
    mechanism = replace(planned, participants=math.ceil(TOGETHER / config.privacy.honest_fraction))
    one = DrySimulation(config, everyone.together, everyone.clients[:1])
    asks, specs = one.first_asks()
    factored = any(isinstance(value, LowRankUpdate) for value in one.learnt(asks).values.values())
    parts = [(mechanism, {name: spec.clip or math.inf for name, spec in specs.items()}, factored)]
    others = (mechanism.part(kind) for kind in (PANEL, METRICS))
    return parts + [(part, {"x": 1.0}, False) for part in others if part is not None]


def _canary_lines(found: CanaryAudit, claim: Claim) -> list[Line]:
    if found.broken:
        return [Line("epsilon by canaries", claim.epsilon, math.inf, found.confidence, note=found.broken)]
    how = f"{found.canaries:,} canaries"
    return [
        Line("epsilon by canaries", claim.epsilon, found.gaussian, found.confidence, note=f"{how}, Gaussian noise"),
        Line("epsilon in one run", claim.epsilon, found.one_run, found.confidence, note=f"{how}, no assumption"),
    ]


def student_lines(config: Config, canaries: int) -> list[Line]:
    """Audit the noisy training of students over all planned rounds; nothing where students are not noised."""
    options, noise = config.privacy.student, student_noise(config)
    if options.epsilon is None or noise is None:
        return []
    whole = replace(noise, steps=noise.steps * config.num_server_rounds)
    rng = np.random.default_rng(secrets.randbits(128))
    least = gradient_multiplier(whole, options.adjacency, 1 - CONFIDENCE, rng, canaries)
    steps = Cost.of_steps(options.adjacency, least, options.rate, whole.steps) if math.isfinite(least) else Cost(0.0)
    # The planned noise itself stays within the budget by two accountants, which differ by a per cent.
    planned = options.cost(config.num_server_rounds).times(config.num_server_rounds)
    claimed = max(options.epsilon, epsilon(planned, options.delta))
    note, conditions = f"{canaries:,} canaries, Gaussian noise", students_conditions(options)
    return [
        Line("epsilon of students", claimed, epsilon(steps, options.delta), CONFIDENCE, note=note, about=conditions)
    ]


def students_conditions(options: StudentPrivacy) -> str:
    """Return the conditions of every number about noisy training of students."""
    return f"students, unit {options.unit}, delta {options.delta:g}, {options.adjacency}, secret Poisson sampling"


def record_lines(config: Config, folder: RunFolder) -> list[Line]:
    """Compare the noise in a finished run's summary with the noise that its budget needs."""
    recorded, options = folder.read_json("summary.json").get("privacy"), config.privacy
    if options.epsilon is None or options.delta is None or options.mechanism.shared:
        return []
    if not isinstance(recorded, dict) or not isinstance(recorded.get("noise-multiplier"), float):
        raise UserError(
            f"{folder.path / 'summary.json'} does not say how much noise there was; delete it, and continue the run "
            f"with --resume {folder.path}"
        )
    if recorded.get("epsilon") == 0:  # its ledger allowed no release
        return []
    planned = mechanisms(config, 1).answers
    each = recorded["noise-multiplier"] / planned.sensitivity / math.sqrt(planned.releases)
    spent = epsilon(Cost.of_gaussian(each), options.delta) / (1 + 1e-9)  # planned and written down with so many digits
    return [Line("epsilon of the recorded noise", options.epsilon, spent, 1.0)]


def alarms(config: Config, everyone: DrySimulation, canaries: int, repeat: int) -> tuple[int, int]:
    """Return how many comparisons accuse in some repetitions with new canaries, and how many there are."""
    lines = [
        line
        for _ in range(repeat)
        for line in canary_lines(config, everyone, canaries) + student_lines(config, canaries)
    ]
    return sum(line.exceeded for line in lines), len(lines)
