"""What a client refuses to answer, whatever the server asks."""

import numpy as np
import pytest

from fedkd.errors import UserError
from fedkd.secure_aggregation import Directory, Identity, Party, RefusedError, SecureSum, keys
from fedkd.secure_aggregation.graph import Ring
from fedkd.secure_aggregation.messages import pack_set

COUNT = 6


class Stage:
    """A cohort on its way through a round; client 0 is the one that is attacked."""

    def __init__(self, clients: int = 6, minimum: int = 3) -> None:
        self.identities = {client: Identity.generate() for client in range(clients)}
        self.directory = Directory({client: one.public for client, one in self.identities.items()})
        self.parties = {c: Party(one, c, self.directory, minimum) for c, one in self.identities.items()}
        self.size = len(pack_set([], clients))
        self.clients = clients

    def advertise(self, run: str = "run", round: int = 0) -> dict[int, bytes]:
        self.server = SecureSum(self.directory, run, round, 2, COUNT, 32)
        return self.server.keys({c: p.advertise(run, round) for c, p in self.parties.items()})

    def share(self) -> dict[int, bytes]:
        asked = self.advertise()
        return self.server.shares({c: self.parties[c].share(b) for c, b in asked.items()})

    def mask(self, leaving: set[int] = frozenset()) -> dict[int, bytes]:
        asked = self.share()
        vectors = {c: self.parties[c].mask(b, np.zeros(COUNT, int), 32) for c, b in asked.items()}
        return self.server.vectors({c: one for c, one in vectors.items() if c not in leaving})

    def alive(self, *clients: int) -> bytes:
        return pack_set(list(clients), self.clients)


def swapped(bundle: bytes, size: int, number: int, signed: bytes) -> bytes:
    start = size + number * keys.SIGNED_KEY
    return bundle[:start] + signed + bundle[start + keys.SIGNED_KEY :]


def test_swapped_keys_are_refused() -> None:
    stage = Stage()
    bundle = stage.advertise()[0]
    true = bundle[stage.size : stage.size + keys.SIGNED_KEY]
    mine = keys.public_key(bytes(range(32)))
    for forged in (mine + true[32:], true[:32] + bytes(64), bytes(96)):
        with pytest.raises(RefusedError, match="not signed by its identity for this round"):
            stage.parties[0].share(swapped(bundle, stage.size, 0, forged))
    stage.parties[0].share(bundle)  # an attack that failed leaves the round as it was


def test_keys_signed_by_another_member_are_refused() -> None:
    stage = Stage()
    bundle = stage.advertise()[0]
    second = bundle[stage.size + keys.SIGNED_KEY : stage.size + 2 * keys.SIGNED_KEY]
    with pytest.raises(RefusedError, match="not signed by its identity"):
        stage.parties[0].share(swapped(bundle, stage.size, 0, second))


@pytest.mark.parametrize(("run", "round"), [("run", 0), ("other", 1)])
def test_keys_of_another_round_or_run_are_refused(run: str, round: int) -> None:
    stage = Stage()
    old = stage.advertise(run, round)[0]
    fresh = stage.advertise("run", 1)[0]
    with pytest.raises(RefusedError, match="not signed by its identity for this round"):
        stage.parties[0].share(old)
    old_cohort_same_order = swapped(fresh, stage.size, 2, old[stage.size : stage.size + keys.SIGNED_KEY])
    with pytest.raises(RefusedError, match="not signed by its identity for this round"):
        stage.parties[0].share(old_cohort_same_order)


def test_a_round_that_is_over_does_not_come_back() -> None:
    party = Stage().parties[0]
    party.advertise("run", 5)
    assert party.advertise("run", 5) == party.advertise("run", 5)
    for round in (0, 4):
        with pytest.raises(RefusedError, match="is over"):
            party.advertise("run", round)
    party.advertise("another run", 0)
    with pytest.raises(RefusedError, match="is over"):
        party.advertise("run", 5)


@pytest.mark.parametrize("clients", [6, 40])
def test_other_neighbours_than_the_graphs_are_refused(clients: int) -> None:
    stage = Stage(clients)
    bundle = stage.advertise()[0]
    fields = [bundle[i : i + keys.SIGNED_KEY] for i in range(stage.size, len(bundle), keys.SIGNED_KEY)]
    with pytest.raises(RefusedError, match="not signed by"):
        stage.parties[0].share(bundle[: stage.size] + b"".join(reversed(fields)))
    with pytest.raises(RefusedError, match="public graph"):
        stage.parties[0].share(bundle[: stage.size] + b"".join(fields[1:]))
    with pytest.raises(RefusedError, match="public graph"):
        stage.parties[0].share(bundle + fields[0])


def test_a_small_cohort_or_one_without_the_client_is_refused() -> None:
    stage = Stage(minimum=4)
    bundle = stage.advertise()[0]
    for members in ([0, 1, 2], [0], [1, 2, 3, 4, 5]):
        with pytest.raises(RefusedError, match="must hold this client and at least 3 others"):
            stage.parties[0].share(stage.alive(*members) + bundle[stage.size :])


def test_another_cohort_has_other_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that shows one client another cohort cannot take off its masks with what the others tell."""
    agreed = []
    agree = keys.agree
    monkeypatch.setattr(keys, "agree", lambda *given: agreed.append(agree(*given)) or agreed[-1])
    stage = Stage(clients=6)
    bundle = stage.advertise()[0]
    stage.parties[0].share(bundle)
    fresh = Party(stage.identities[0], 0, stage.directory, 3)
    fresh.loads(stage.parties[0].dumps())
    assert fresh._state is not None
    fresh._state.asked.clear()
    five = [bundle[i : i + keys.SIGNED_KEY] for i in range(stage.size, len(bundle), keys.SIGNED_KEY)]
    order = Ring(stage.directory.context("run", 0), np.arange(6)).neighbours(0)
    smaller = Ring(stage.directory.context("run", 0), np.arange(5)).neighbours(0)
    signed = dict(zip(order, five, strict=True))
    fresh.share(stage.alive(0, 1, 2, 3, 4) + b"".join(signed[place] for place in smaller))
    assert not set(agreed[0]) & set(agreed[1])


def test_what_is_said_of_another_round_is_refused() -> None:
    party = Stage().parties[0]
    with pytest.raises(RefusedError, match="not the one that goes on"):
        party.check_round("run", 0)
    party.advertise("run", 0)
    party.check_round("run", 0)
    for run, round in (("run", 1), ("other", 0)):
        with pytest.raises(RefusedError, match="not the one that goes on"):
            party.check_round(run, round)


def test_survivors_around_a_cut_are_refused() -> None:
    stage = Stage(clients=100)
    stage.mask()
    ring = Ring(stage.directory.context("run", 0), np.arange(100))
    order = [0]
    while len(order) < 100:
        order.append(ring.neighbours(order[-1])[0])
    half = ring.shape.neighbours // 2
    with pytest.raises(RefusedError, match="in parts"):
        stage.parties[0].unmask(stage.alive(*sorted(set(range(100)) - set(order[40 : 40 + half]))))
    stage.parties[0].unmask(stage.alive(*sorted(set(range(100)) - set(order[40 : 40 + half - 1]))))


def test_shares_that_are_not_given_are_forgotten() -> None:
    stage = Stage()
    stage.mask(leaving={5})
    party = stage.parties[0]
    whole = party._state.received if party._state is not None else []
    both = [share for share in whole if share]
    survivors = stage.alive(0, 1, 2, 3, 4)
    told = party.unmask(survivors)
    again = Party(stage.identities[0], 0, stage.directory, 3)
    again.loads(party.dumps())
    assert again.unmask(survivors) == told
    for share in both:
        halves = share[: keys.KEY], share[keys.KEY :]
        assert sum(half.hex() in party.dumps().decode() for half in halves) == 1


def test_unreadable_requests_are_refused() -> None:
    stage = Stage()
    stage.advertise()
    for bundle in (b"", b"\xff"):
        with pytest.raises(RefusedError, match="cannot be read"):
            stage.parties[0].share(bundle)


def test_requests_out_of_turn_are_refused() -> None:
    stage = Stage()
    fresh = stage.parties[0]
    with pytest.raises(RefusedError, match="no round has begun"):
        fresh.share(b"")
    asked = stage.advertise()
    with pytest.raises(RefusedError, match="asks to mask before it asked to share"):
        fresh.mask(b"", np.zeros(COUNT, int), 32)
    fresh.share(asked[0])
    with pytest.raises(RefusedError, match="asks to unmask before it asked to mask"):
        fresh.unmask(stage.alive(0, 1, 2, 3))


def test_shares_are_dealt_to_one_cohort() -> None:
    stage = Stage()
    adverts = {c: p.advertise("run", 0) for c, p in stage.parties.items()}
    bundles = [SecureSum(stage.directory, "run", 0, 2, COUNT, 32).keys(dict(list(adverts.items())[:n])) for n in (6, 5)]
    first = stage.parties[0].share(bundles[0][0])
    with pytest.raises(RefusedError, match="a second time"):
        stage.parties[0].share(bundles[1][0])
    assert stage.parties[0].share(bundles[0][0]) == first


def test_two_vectors_are_never_masked_alike() -> None:
    stage = Stage()
    asked = stage.share()
    party = stage.parties[0]
    first = party.mask(asked[0], np.zeros(COUNT, int), 32)
    assert party.mask(asked[0], np.zeros(COUNT, int), 32) == first
    for vector, bits in ((np.ones(COUNT, int), 32), (np.zeros(COUNT, int), 31), (np.zeros(COUNT + 1, int), 32)):
        with pytest.raises(RefusedError, match="a second time"):
            party.mask(asked[0], vector, bits)


def test_too_few_neighbours_with_shares_are_refused() -> None:
    stage = Stage()
    dealt = {c: stage.parties[c].share(b) for c, b in stage.advertise().items()}
    asked = stage.server.shares({c: dealt[c] for c in (0, 1, 2)})
    with pytest.raises(RefusedError, match="only 2 neighbours dealt shares; at least 4 must"):
        stage.parties[0].mask(asked[0], np.zeros(COUNT, int), 32)


def test_a_damaged_list_of_shares_is_refused() -> None:
    stage = Stage()
    asked = stage.share()
    with pytest.raises(RefusedError, match="bytes came"):
        stage.parties[0].mask(asked[0][:-1], np.zeros(COUNT, int), 32)


def test_both_shares_are_never_given() -> None:
    stage = Stage()
    asked = stage.mask()
    party = stage.parties[0]
    first = party.unmask(asked[0])
    assert party.unmask(asked[0]) == first
    for survivors in (stage.alive(0, 1, 2, 3, 4), stage.alive(0, 2, 3, 4, 5)):
        with pytest.raises(RefusedError, match="a second time"):
            party.unmask(survivors)
    restarted = Party(stage.identities[0], 0, stage.directory, 3)
    restarted.loads(party.dumps())
    with pytest.raises(RefusedError, match="a second time"):
        restarted.unmask(stage.alive(0, 1, 2, 3, 4))


def test_two_sets_of_survivors_shown_to_different_clients_open_nothing_in_a_complete_graph() -> None:
    """Half hear that client 9 is alive, half that it dropped out: neither half is enough to open a mask of it."""
    stage = Stage(10)
    stage.mask()
    with_nine, without = stage.alive(*range(10)), stage.alive(*range(9))
    seeds = [stage.parties[c].unmask(with_nine) for c in range(5)]
    private = [stage.parties[c].unmask(without) for c in range(5, 9)]
    assert max(len(seeds), len(private)) < stage.server._ring.shape.threshold


@pytest.mark.parametrize(
    ("survivors", "match"),
    [
        ((0,), "only 1 clients would be summed"),
        ((0, 1), "only 2 clients would be summed; at least 3"),
        ((0, 1, 2), "only 2 neighbours would be summed; at least 4"),
        ((1, 2, 3, 4), "lack this one"),
        ((), "lack this one"),
    ],
)
def test_survivors_that_would_expose_the_client_are_refused(survivors: tuple[int, ...], match: str) -> None:
    stage = Stage()
    stage.mask()
    with pytest.raises(RefusedError, match=match):
        stage.parties[0].unmask(stage.alive(*survivors))


def test_a_survivor_that_dealt_no_shares_is_refused() -> None:
    stage = Stage()
    dealt = {c: stage.parties[c].share(b) for c, b in stage.advertise().items()}
    asked = stage.server.shares({c: dealt[c] for c in range(5)})
    stage.parties[0].mask(asked[0], np.zeros(COUNT, int), 32)
    with pytest.raises(RefusedError, match="takes no part"):
        stage.parties[0].unmask(stage.alive(*range(6)))


def test_secrets_are_forgotten_when_the_round_ends() -> None:
    stage = Stage()
    asked = stage.mask()
    party = stage.parties[0]
    before = party._state
    assert before is not None
    secrets = (before.seed, before.secret, *before.channels)
    assert all(secret.hex().encode() in party.dumps() for secret in secrets)
    party.unmask(asked[0])
    assert not any(secret.hex().encode() in party.dumps() for secret in secrets)
    with pytest.raises(RefusedError, match="its masks have been opened"):
        party.advertise("run", 0)
    with pytest.raises(RefusedError, match="its masks have been opened"):
        party.mask(b"", np.zeros(COUNT, int), 32)


def test_every_round_and_party_has_secrets_of_its_own() -> None:
    stage, drawn = Stage(), set()
    for round in range(5):
        for client, bundle in stage.advertise("run", round).items():
            party = stage.parties[client]
            party.share(bundle)
            assert party._state is not None
            drawn |= {party._state.seed, party._state.secret}
    assert len(drawn) == 5 * 6 * 2
    assert np.abs(np.unpackbits(np.frombuffer(b"".join(drawn), np.uint8)).mean() - 0.5) < 0.02


def test_every_round_has_fresh_keys() -> None:
    party = Stage().parties[0]
    assert party.advertise("run", 0)[:32] != party.advertise("run", 1)[:32]


def test_signed_keys_of_low_order_are_refused() -> None:
    stage = Stage(3, 2)
    adverts = {c: stage.parties[c].advertise("run", 0) for c in (0, 1)}
    weak = keys.sign_key(stage.identities[2], stage.directory.context("run", 0), 2, bytes(32))
    bundle = SecureSum(stage.directory, "run", 0, 2, COUNT, 32).keys(
        {**adverts, 2: stage.parties[2].advertise("run", 0)}
    )[0]
    place = next(n for n in range(2) if bundle[stage.size + n * 96 :][:96] != adverts[1])
    with pytest.raises(RefusedError, match="anyone could know"):
        stage.parties[0].share(swapped(bundle, stage.size, place, weak))


def test_a_party_must_stand_in_the_directory() -> None:
    stage = Stage()
    for identity, client in ((Identity.generate(), 0), (stage.identities[0], 1), (stage.identities[0], 99)):
        with pytest.raises(UserError, match="directory of identities"):
            Party(identity, client, stage.directory, 3)
    with pytest.raises(UserError, match="at least 2 members"):
        Party(stage.identities[0], 0, stage.directory, 1)
