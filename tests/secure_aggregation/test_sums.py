"""Sums are exact whoever drops out, cheap, and not stopped by a client that answers nonsense."""

import copy
import functools
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chi2

from fedkd.errors import UserError
from fedkd.secure_aggregation import Directory, Identity, Party, SecureSum, SumError, dealing, keys, masks
from fedkd.secure_aggregation.harness import measure, new_parties, simulate_round
from fedkd.secure_aggregation.messages import pack_set
from fedkd.secure_aggregation.sums import MISFIT

LATE = ("share", "mask", "unmask")


def leaving(rng: np.random.Generator, clients: int, phases: tuple[str, ...] = LATE) -> dict[int, str]:
    gone = rng.permutation(clients)[: rng.integers(3 * clients // 10, endpoint=True)]
    return {int(client): phases[rng.integers(len(phases))] for client in gone}


def expected(vectors: dict[int, np.ndarray], survivors: set[int], bits: int) -> np.ndarray:
    """Sum exactly, then read modulo 2**bits as signed."""
    rows = np.array([vectors[client] for client in survivors])
    if bits + len(rows).bit_length() < 64:
        return (rows.sum(axis=0) + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
    half = 1 << (bits - 1)
    return np.array([(int(one) + half) % (2 * half) - half for one in rows.astype(object).sum(axis=0)], np.int64)


class Handshake:
    """One cohort after the shares have been dealt, from which many patterns of drop-outs are played."""

    def __init__(self, clients: int, bits: int, count: int, run: str) -> None:
        self.directory, self.parties = new_parties(clients, 2)
        self.bits, self.count = bits, count
        self.server = SecureSum(self.directory, run, 0, 2, count, bits)
        adverts = {client: party.advertise(run, 0) for client, party in self.parties.items()}
        asked = self.server.keys(adverts)
        self.dealt = {client: self.parties[client].share(bundle) for client, bundle in asked.items()}
        self.saved = {client: self.parties[client].dumps() for client in asked}

    def play(self, out: dict[int, str], vectors: dict[int, np.ndarray]) -> tuple[np.ndarray, set[int]]:
        server = copy.deepcopy(self.server)
        asked = server.shares({client: one for client, one in self.dealt.items() if out.get(client) != "share"})
        replies = {}
        for client, bundle in asked.items():
            if out.get(client) != "mask":
                self.parties[client].loads(self.saved[client])
                replies[client] = self.parties[client].mask(bundle, vectors[client], self.bits)
        asked = server.vectors(replies)
        staying = {client: one for client, one in asked.items() if out.get(client) != "unmask"}
        total = server.open({client: self.parties[client].unmask(one) for client, one in staying.items()})
        return total, set(asked)


@pytest.fixture
def _remembered_agreements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute every pair's secret once, though many patterns need it."""

    @functools.cache
    def one(secret: bytes, context: bytes, public: bytes) -> bytes:
        return real(secret, context, [public])[0]

    real = keys.agree
    monkeypatch.setattr(keys, "agree", lambda secret, context, all_: [one(secret, context, each) for each in all_])


@pytest.mark.usefixtures("_remembered_agreements")
def test_six_hundred_patterns_among_few() -> None:
    rng = np.random.default_rng(1)
    seen: Counter[str] = Counter()
    for number in range(60):
        clients, bits = int(rng.integers(4, 14)), int(rng.integers(8, 65))
        handshake = Handshake(clients, bits, 8, f"run {number}")
        for _ in range(10):
            vectors = {c: rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 8) for c in range(clients)}
            out = leaving(rng, clients)
            seen.update(out.values())
            total, survivors = handshake.play(out, vectors)
            assert survivors == {c for c in range(clients) if out.get(c) not in ("share", "mask")}
            assert (total == expected(vectors, survivors, bits)).all()
    assert min(seen[phase] for phase in LATE) > 130


@pytest.mark.slow
@pytest.mark.usefixtures("_remembered_agreements")
def test_fifty_patterns_among_a_hundred() -> None:
    rng = np.random.default_rng(2)
    for number in range(2):
        handshake = Handshake(100, 32, 1_000, f"run {number}")
        numbers = rng.integers(-(2**31), 2**31, (100, 1_000))
        for _ in range(25):
            numbers = np.roll(numbers, 1, axis=0)
            vectors = dict(enumerate(numbers))
            out = {int(client): LATE[rng.integers(3)] for client in rng.permutation(100)[:30]}
            total, survivors = handshake.play(out, vectors)
            assert 70 <= len(survivors) < 100
            assert (total == expected(vectors, survivors, 32)).all()


@pytest.mark.parametrize("seed", range(3))
def test_full_size_with_drop_outs_in_every_phase(seed: int) -> None:
    rng = np.random.default_rng(seed)
    directory, parties = new_parties(100, 50)
    vectors = {client: rng.integers(-(2**31), 2**31, 10_000) for client in parties}
    gone = rng.permutation(100)[:30]
    out = {int(client): ("advertise", *LATE)[i % 4] for i, client in enumerate(gone)}
    server = SecureSum(directory, "run", seed, 50, 10_000, 32)
    measured = simulate_round(parties, server, "run", seed, vectors, 32, out)
    assert measured.survivors == set(range(100)) - {c for c, phase in out.items() if phase != "unmask"}
    assert (measured.total == expected(vectors, measured.survivors, 32)).all()
    assert Counter(server.reasons) == {"share: no answer": 8, "mask: no answer": 7, "unmask: no answer": 7}
    assert max(measured.sent.values()) <= 1.1 * 40_000


@pytest.mark.parametrize("gone", [0.0, 0.3])
def test_a_client_sends_little_more_than_its_numbers(gone: float) -> None:
    figures = measure(100, 10_000, 32, 1, gone)
    assert figures["sent_ratio"] <= 1.1
    assert figures["received_bytes"] <= 5_000
    assert figures["client_ms"] > 0


def test_parties_restart_between_all_messages() -> None:
    identities = {client: Identity.generate() for client in (3, 70, 2**64 - 1, 12, 55, 0, 8)}
    directory = Directory({client: one.public for client, one in identities.items()})
    saved = {client: Party(one, client, directory, 3).dumps() for client, one in identities.items()}

    def revived(client: int) -> Party:
        party = Party(identities[client], client, directory, 3)
        party.loads(saved[client])
        return party

    def ask(verb: str, client: int, *request: object) -> bytes:
        party = revived(client)
        reply: bytes = getattr(party, verb)(*request)
        saved[client] = party.dumps()
        assert getattr(revived(client), verb)(*request) == reply  # a retry sends the same bytes
        return reply

    vectors = {client: np.arange(4) * (i - 2) for i, client in enumerate(identities)}
    server = SecureSum(directory, "run", 7, 3, 4, 18)
    asked = server.keys({client: ask("advertise", client, "run", 7) for client in identities})
    asked = server.shares({client: ask("share", client, one) for client, one in asked.items() if client != 12})
    asked = server.vectors({client: ask("mask", client, one, vectors[client], 18) for client, one in asked.items()})
    total = server.open({client: ask("unmask", client, one) for client, one in asked.items() if client != 70})
    assert (total == sum(vectors[client] for client in identities if client != 12)).all()


NONSENSE = (b"", b"x", bytes(128), bytes(5000), None, "text", 7)


@pytest.mark.parametrize("phase", ["advertise", *LATE])
@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_from_one_client_never_stops_the_sum(phase: str, nonsense: object) -> None:
    directory, parties = new_parties(6, 3)
    server = SecureSum(directory, "run", 0, 3, 5, 32)

    def garbled(replies: dict[int, bytes], now: str) -> dict[int, bytes]:
        return {**replies, 2: nonsense} if now == phase else replies  # type: ignore[dict-item]

    def asked(requests: dict[int, bytes]) -> dict[int, bytes]:
        return {client: one for client, one in requests.items() if client != 2 or phase in LATE}

    requests = server.keys(garbled({c: p.advertise("run", 0) for c, p in parties.items()}, "advertise"))
    requests = server.shares(garbled({c: parties[c].share(b) for c, b in asked(requests).items()}, "share"))
    requests = server.vectors(
        garbled({c: parties[c].mask(b, np.full(5, c), 32) for c, b in asked(requests).items()}, "mask")
    )
    survivors = set(requests)
    total = server.open(garbled({c: parties[c].unmask(b) for c, b in asked(requests).items()}, "unmask"))
    assert (2 in survivors) == (phase == "unmask")
    assert (total == sum(survivors)).all()
    assert list(server.faults) == [2]
    assert server.faults[2].startswith(phase)


def play(clients: int, tamper: dict[str, object], out: set[int] = frozenset()) -> tuple[SecureSum, np.ndarray]:
    """Play a round in which functions by phase change the replies; ``out`` loses its masked vectors."""
    directory, parties = new_parties(clients, 2)
    server = SecureSum(directory, "run", 0, 2, 5, 32)

    def changed(phase: str, replies: dict[int, bytes]) -> dict[int, bytes]:
        change = tamper.get(phase, lambda one: one)
        return change(replies)  # type: ignore[operator,no-any-return]

    requests = server.keys(changed("advertise", {c: p.advertise("run", 0) for c, p in parties.items()}))
    requests = server.shares(changed("share", {c: parties[c].share(b) for c, b in requests.items()}))
    masked = {c: parties[c].mask(b, np.full(5, c), 32) for c, b in requests.items() if c not in out}
    requests = server.vectors(masked)
    return server, server.open(changed("unmask", {c: parties[c].unmask(b) for c, b in requests.items()}))


def flipped(reply: bytes, start: int, stop: int) -> bytes:
    return reply[:start] + bytes(byte ^ 1 for byte in reply[start:stop]) + reply[stop:]


@pytest.mark.parametrize("clients", [10, 40])
@pytest.mark.parametrize("liar", range(0, 10, 3))
def test_wrong_shares_are_found_and_ignored(clients: int, liar: int) -> None:
    def lie(replies: dict[int, bytes]) -> dict[int, bytes]:
        return {**replies, liar: flipped(replies[liar], 0, len(replies[liar]))}

    server, total = play(clients, {"unmask": lie}, out={8})
    assert (total == sum(range(clients)) - 8).all()
    assert set(server.faults) <= {8, liar}
    assert server.faults.get(liar, MISFIT) == MISFIT


def test_shares_damaged_on_the_way_to_some_neighbours_are_done_without() -> None:
    def damage(replies: dict[int, bytes]) -> dict[int, bytes]:
        return {**replies, 4: flipped(replies[4], len(replies[4]) - 128, len(replies[4]))}  # of two in nine

    server, total = play(10, {"share": damage})
    assert (total == 45).all()
    assert set(server.faults.values()) <= {MISFIT}


@pytest.mark.parametrize("run", range(4))
def test_a_false_dealer_does_not_silence_the_holders_of_its_shares(run: int) -> None:
    """Client 0 deals wrong shares to two holders and then keeps silent, as an honest client does."""

    def damage(replies: dict[int, bytes]) -> dict[int, bytes]:
        return {**replies, 0: flipped(replies[0], len(replies[0]) - 3 * 64, len(replies[0]) - 64)}

    def silent(replies: dict[int, bytes]) -> dict[int, bytes]:
        return {client: reply for client, reply in replies.items() if client not in (0, 5)}

    assert (play(10, {"share": damage, "unmask": silent})[1] == 45).all()


def test_a_tenth_of_liars_are_outvoted_where_few_are_missing() -> None:
    def lie(replies: dict[int, bytes]) -> dict[int, bytes]:
        false = {liar: flipped(replies[liar], 0, len(replies[liar])) for liar in (3, 11, 17, 30)}
        return {client: reply for client, reply in {**replies, **false}.items() if client not in (8, 20)}

    assert (play(32, {"unmask": lie})[1] == sum(range(32))).all()


def test_a_false_table_is_open_to_see_only_in_a_sum_without_its_owner() -> None:
    """What the first page says of it: a client can spoil a sum, with its vector or with its table."""

    def damage(replies: dict[int, bytes]) -> dict[int, bytes]:
        return {**replies, 4: flipped(replies[4], 64, 96)}

    assert (play(10, {"share": damage})[1] == 45).all()
    assert (play(10, {"share": damage}, out={4})[1] != 41).all()


def test_shares_that_fit_nothing_stop_the_sum_and_name_the_dealer() -> None:
    def damage(replies: dict[int, bytes]) -> dict[int, bytes]:
        return {**replies, 4: flipped(replies[4], 0, 1)}

    with pytest.raises(SumError, match="masks of client 4 cannot be taken off"):
        play(10, {"share": damage})


def test_answers_of_strangers_are_counted_and_left_out() -> None:
    server, total = play(5, {"share": lambda replies: {**replies, 99: b"hello"}})
    assert (total == 10).all()
    assert server.faults == {99: "share: not asked"}


def test_keys_with_which_all_secrets_are_zero_are_left_out() -> None:
    identities = {client: Identity.generate() for client in range(4)}
    directory = Directory({client: one.public for client, one in identities.items()})
    server = SecureSum(directory, "run", 0, 2, 5, 32)
    honest = {c: Party(identities[c], c, directory, 2).advertise("run", 0) for c in range(3)}
    weak = keys.sign_key(identities[3], directory.context("run", 0), 3, bytes(32))
    assert set(server.keys({**honest, 3: weak})) == {0, 1, 2}
    assert server.faults == {3: "advertise: unusable key"}


def test_forged_keys_are_left_out_before_they_reach_anybody() -> None:
    directory, parties = new_parties(5, 2)
    adverts = {c: p.advertise("run", 0) for c, p in parties.items()}
    adverts[3] = adverts[3][:32] + adverts[2][32:]
    server = SecureSum(directory, "run", 0, 2, 5, 32)
    requests = server.keys(adverts)
    assert server.faults == {3: "advertise: not signed by its identity for this round"}
    for client, bundle in requests.items():
        parties[client].share(bundle)


def test_the_minimum_counts_who_is_summed_not_who_helps_to_open() -> None:
    directory, parties = new_parties(10, 10)
    server = SecureSum(directory, "run", 0, 10, 5, 32)
    vectors = {c: np.full(5, c) for c in parties}
    measured = simulate_round(parties, server, "run", 0, vectors, 32, dict.fromkeys(range(3), "unmask"))
    assert (measured.total == 45).all()


@pytest.mark.parametrize("phase", ["advertise", "share", "mask"])
def test_fewer_than_the_minimum_is_an_error(phase: str) -> None:
    directory, parties = new_parties(6, 4)
    server = SecureSum(directory, "run", 0, 4, 5, 32)
    with pytest.raises(SumError, match=f"3 clients answered to {phase}; a sum needs at least 4"):
        simulate_round(
            parties, server, "run", 0, {c: np.zeros(5, int) for c in parties}, 32, dict.fromkeys(range(3), phase)
        )


def test_too_few_shares_is_an_error() -> None:
    directory, parties = new_parties(6, 2)
    server = SecureSum(directory, "run", 0, 2, 5, 32)
    out = dict.fromkeys(range(4), "unmask")
    with pytest.raises(SumError, match="cannot be taken off"):
        simulate_round(parties, server, "run", 0, {c: np.zeros(5, int) for c in parties}, 32, out)


def test_sums_of_one_cannot_be_asked_for() -> None:
    directory, _ = new_parties(3, 2)
    with pytest.raises(UserError, match="at least 2"):
        SecureSum(directory, "run", 0, 1, 5, 32)


def masked_by(rounds: int, bits: int) -> bytes:
    """Return the masked zeros of one client, over some rounds."""
    directory, parties = new_parties(3, 2)
    out = []
    for number in range(rounds):
        server = SecureSum(directory, "run", number, 2, 10_000, bits)
        requests = server.keys({c: p.advertise("run", number) for c, p in parties.items()})
        requests = server.shares({c: parties[c].share(b) for c, b in requests.items()})
        out.append(parties[0].mask(requests[0], np.zeros(10_000, np.int64), bits))
    return b"".join(out)


@pytest.mark.parametrize("bits", [8, 18, 32])
def test_a_masked_vector_looks_uniform(bits: int) -> None:
    assert looks_uniform(np.frombuffer(masked_by(4, bits), np.uint8).astype(np.uint32) << 24)


def test_masks_of_two_rounds_have_nothing_in_common() -> None:
    data = np.frombuffer(masked_by(2, 32), ">u4").reshape(2, -1)
    assert (data[0] == data[1]).sum() <= 1


def looks_uniform(words: np.ndarray) -> bool:
    counts = np.bincount(words >> 24, minlength=256)
    return bool(((counts - counts.mean()) ** 2 / counts.mean()).sum() < chi2.ppf(1 - 1e-6, 255))


def test_a_vector_that_comes_late_stays_hidden_and_so_does_one_whose_own_mask_is_known() -> None:
    directory, parties = new_parties(4, 2)
    server = SecureSum(directory, "run", 0, 2, 10_000, 32)
    requests = server.keys({c: p.advertise("run", 0) for c, p in parties.items()})
    requests = server.shares({c: parties[c].share(b) for c, b in requests.items()})
    masked = {c: parties[c].mask(b, np.full(10_000, c), 32) for c, b in requests.items()}
    state = parties[3]._state
    assert state is not None
    vector = masks.unpack(masked[3], 32, 10_000)
    without_own, without_pairs = vector.copy(), vector.copy()
    masks.add_mask(without_own, dealing.self_mask(3, state.seed), -1)
    for place, agreed in zip(state.neighbours, state.channels, strict=True):
        masks.add_mask(without_pairs, dealing.pair_mask(3, place, agreed), 1)  # 3 took it away: the others are lower
    assert looks_uniform(without_own)
    assert looks_uniform(without_pairs)
    masks.add_mask(without_pairs, dealing.self_mask(3, state.seed), -1)
    assert (without_pairs == 3).all()
    assert not looks_uniform(without_pairs)


def test_pairs_and_rounds_have_masks_of_their_own() -> None:
    keys_of_masks = set()
    for number in range(2):
        directory, parties = new_parties(5, 2)
        server = SecureSum(directory, "run", number, 2, 4, 32)
        requests = server.keys({c: p.advertise("run", number) for c, p in parties.items()})
        requests = server.shares({c: parties[c].share(b) for c, b in requests.items()})
        for client, party in parties.items():
            state = party._state
            assert state is not None
            keys_of_masks.add(dealing.self_mask(client, state.seed))
            pairs = zip(state.neighbours, state.channels, strict=True)
            keys_of_masks.update(dealing.pair_mask(client, place, one) for place, one in pairs)
    assert len(keys_of_masks) == 2 * (5 + 10)


def test_the_server_asks_the_survivors_alone() -> None:
    directory, parties = new_parties(5, 2)
    server = SecureSum(directory, "run", 0, 2, 4, 32)
    requests = server.keys({c: p.advertise("run", 0) for c, p in parties.items()})
    requests = server.shares({c: parties[c].share(b) for c, b in requests.items()})
    requests = server.vectors({c: parties[c].mask(b, np.full(4, c), 32) for c, b in requests.items() if c != 3})
    assert requests == dict.fromkeys((0, 1, 2, 4), pack_set([0, 1, 2, 4], 5))
