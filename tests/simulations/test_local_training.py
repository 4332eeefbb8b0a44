import numpy as np

from fedkd.ragged import Ragged
from simulations.benchmark.local_training import run, work


def test_both_sides_train_the_same_students():
    rng = np.random.default_rng(0)
    histories = Ragged.from_rows([rng.choice(200, size, replace=False) for size in (3, 80, 12, 60, 7, 30)], np.int32)
    engine, plain = run(histories, 200, plain_clients=4, repeats=1)
    assert (engine.clients, plain.clients) == (6, 4)
    np.testing.assert_allclose(engine.losses[plain.rows], plain.losses, atol=1e-4)
    assert engine.rate > 0
    # 5 epochs of 5 * 192 pairs through 32x32, 16x32 and 1x16 weights, six operations each.
    assert work(histories, 200)[0] == 5 * 5 * 192 * 6 * (1024 + 512 + 16)
