"""Data in the shape of a scene: contracts, and that every option does what it says."""

import numpy as np
import pytest

from fedkd.data.interactions import Interactions
from fedkd.data.sessions import sessions
from fedkd.data.sources.scene import DAY, OPENING, SceneOptions, generate
from fedkd.errors import UserError


def made(**options: float) -> Interactions:
    return generate(SceneOptions(**{"users": 200, "items": 150, "mean_history": 12, **options}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{}, {"price_tiers": 3}, {"domains": 3}, {"lifetime_days": 20, "days": 60}, {"session_mean": 4}]
)
def test_histories_keep_the_contract(options: dict[str, float]) -> None:
    data = made(**options)
    assert data.matrix().max() == 1
    assert data.histories.lengths.mean() == pytest.approx(12, rel=0.25)  # items of a small domain run out
    assert data.times is not None
    same_user = np.diff(data.histories.row_index) == 0
    assert np.all(np.diff(data.times)[same_user] >= 0)
    assert data.fingerprint == made(**options).fingerprint != made(**options, seed=1).fingerprint


def test_news_are_read_while_they_live_and_no_longer() -> None:
    data = made(lifetime_days=3, days=30)
    assert data.times is not None
    day = (data.times - OPENING) / DAY
    spans = [np.ptp(day[data.histories.values == item]) for item in np.unique(data.histories.values)]
    assert max(spans) <= 3
    assert day.max() > 25
    assert np.ptp((made().times - OPENING) / DAY) > 300  # type: ignore[operator]


def test_users_buy_near_the_price_that_they_spend() -> None:
    data = made(price_tiers=4, users=400)
    prices = data.catalogue.membership[:, -4:]
    assert data.catalogue.categories[-4:] == ("price-1", "price-2", "price-3", "price-4")
    assert (prices.sum(1) == 1).all()
    bought = prices.argmax(1)[data.histories.values]
    within = np.mean([bought[data.histories.row_index == user].var() for user in range(400)])
    assert within < 0.6 * bought.var()


def test_interactions_come_in_sessions_about_one_interest() -> None:
    data = made(users=1200, items=600, mean_history=20, session_mean=5, session_gap_seconds=100)
    found = sessions(data)
    assert found.lengths.mean() == pytest.approx(5, rel=0.03)
    assert found.lengths.max() > 4 * np.median(found.lengths)
    assert np.median(found.within) == pytest.approx(100, rel=0.1)
    assert np.median(found.between) > DAY
    assert data.times is not None
    look = data.catalogue.vectors["text"][data.histories.values]
    near, same = (look[1:] * look[:-1]).sum(1), np.diff(data.histories.row_index) == 0
    within = same & (np.diff(data.times) < 1800)
    assert near[within].mean() > 1.15 * near[same & ~within].mean()


def test_fame_makes_the_tail_of_popularity_steep() -> None:
    flat, steep = (np.sort(made(fame=fame).popularity()) for fame in (0.0, 1.2))
    assert steep[-15:].sum() > 1.5 * flat[-15:].sum()


def test_domains_have_items_of_their_own_and_few_common_users() -> None:
    data = made(domains=2, shared_users=0.2, users=400)
    assert data.groups is not None
    assert set(data.groups) == {"domain-0", "domain-1"}
    matrix = data.matrix().toarray()
    share = np.stack([matrix[data.groups == group].sum(0) for group in ("domain-0", "domain-1")])
    own = share.argmax(0)
    both = [len(set(own[row.nonzero()[0]])) > 1 for row in matrix]
    assert np.mean(both) == pytest.approx(0.2, abs=0.06)
    alone = made(domains=2, shared_users=0.0)
    assert not (
        alone.matrix().toarray()[alone.groups == "domain-0"].sum(0)
        * alone.matrix().toarray()[alone.groups == "domain-1"].sum(0)
    ).any()


def test_a_history_longer_than_the_catalogue_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.scene\.mean-history is 200"):
        made(mean_history=200)


def test_sessions_longer_than_histories_are_refused() -> None:
    with pytest.raises(UserError, match=r"data\.scene\.session-mean is 13, but a user has 12.*lower it"):
        made(session_mean=13)
