"""A party's memory of a round, as bytes."""

import hashlib
import json
from dataclasses import dataclass, field

from fedkd.secure_aggregation.errors import RefusedError

PHASES = ("advertise", "share", "mask", "unmask")


@dataclass
class RoundState:
    """One round in the eyes of one party; everything secret in it lives for this round alone.

    Attributes
    ----------
    run, round
        Which round this is.
    secret, seed
        The round's private key, and the seed of the self-mask that was dealt.
    cohort
        The members as a set of directory positions.
    neighbours
        Their positions, in the order of the graph.
    channels
        The keys agreed with them, 32 bytes each.
    shared
        The neighbours that dealt shares, as a set.
    received
        This party's shares of what each neighbour dealt: 64 bytes, or none where it dealt nothing; of each 32 that were
        given away once the masks have been opened.
    asked
        Digests of the requests answered so far, by phase.
    """

    run: str
    round: int
    secret: bytes = field(repr=False)
    seed: bytes = field(default=b"", repr=False)
    cohort: bytes = b""
    neighbours: list[int] = field(default_factory=list)
    channels: list[bytes] = field(default_factory=list, repr=False)
    shared: bytes = b""
    received: list[bytes] = field(default_factory=list, repr=False)
    asked: dict[str, str] = field(default_factory=dict)

    def check_turn(self, phase: str) -> None:
        """Refuse a phase whose predecessor has not been answered, or whose round is over."""
        if phase != "unmask":
            self.check_open()
        earlier = PHASES[PHASES.index(phase) - 1]
        if earlier != "advertise" and earlier not in self.asked:
            raise RefusedError(f"round {self.round} asks to {phase} before it asked to {earlier}")

    def once(self, phase: str, *request: bytes) -> None:
        """Let a phase be answered, and again only for the very same request.

        Raises
        ------
        RefusedError
            Another request than the one answered before.
        """
        digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in request)).hexdigest()
        if self.asked.get(phase, digest) != digest:
            raise RefusedError(
                f"round {self.round} asks to {phase} a second time with another request; a round is answered once"
            )
        self.asked[phase] = digest

    def check_open(self) -> None:
        """Refuse once the round's secrets are forgotten."""
        if not self.secret:
            raise RefusedError(f"round {self.round} of run {self.run!r} is over: its masks have been opened")

    def forget(self, given: list[bytes]) -> None:
        """Drop all secrets but the shares that are given away, which a retry of the last answer needs."""
        self.secret = self.seed = b""
        self.channels, self.received = [], given

    def dumps(self) -> dict[str, object]:
        """Return what JSON can hold."""
        return {name: _plain(value) for name, value in vars(self).items()}

    @classmethod
    def loads(cls, plain: dict[str, object]) -> "RoundState":
        """Read what ``dumps`` returned."""
        return cls(**{name: _rich(value) for name, value in plain.items()})  # type: ignore[arg-type]


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _rich(value: object) -> object:
    if isinstance(value, dict) and set(value) == {"hex"}:
        return bytes.fromhex(value["hex"])
    return [_rich(one) for one in value] if isinstance(value, list) else value


def to_bytes(rounds: dict[str, int], state: RoundState | None) -> bytes:
    """Write the newest round of every run and the round that is going on."""
    return json.dumps({"rounds": rounds, "state": state and state.dumps()}, separators=(",", ":")).encode()


def from_bytes(data: bytes) -> tuple[dict[str, int], RoundState | None]:
    """Read what ``to_bytes`` wrote."""
    plain = json.loads(data)
    return plain["rounds"], RoundState.loads(plain["state"]) if plain["state"] else None
