import numpy as np
import pytest
import torch
from torch.nn import functional

from fedkd.models.ncf import NCF


def by_hand(model, user, item):
    w = {name: p.detach().numpy() for name, p in model.named_parameters()}
    x = np.concatenate([w["user.weight"][user], w["item.weight"][item]])
    for layer in ("first", "second"):
        x = np.maximum(w[f"{layer}.weight"] @ x + w[f"{layer}.bias"], 0)
    return float((w["last.weight"] @ x + w["last.bias"])[0])


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = NCF(20, num_users=3)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    return model


def test_scores_follow_the_formula(model):
    items, users = torch.tensor([0, 7, 19]), torch.tensor([2, 0, 1])
    expected = [by_hand(model, u, i) for u, i in zip(users, items, strict=True)]
    np.testing.assert_allclose(model(items, users).detach(), expected, rtol=1e-5)
    np.testing.assert_allclose(model(items)[1].item(), by_hand(model, 0, 7), rtol=1e-5)


def test_stacked_models_score_and_learn_like_each_alone():
    torch.manual_seed(1)
    models = [NCF(20, dimensions=4) for _ in range(3)]
    stacked = {
        name: torch.stack([dict(m.named_parameters())[name].detach() for m in models]).requires_grad_()
        for name, _ in models[0].named_parameters()
    }
    items = torch.randint(0, 20, (3, 11))
    scores = NCF.stacked(stacked, items)
    torch.testing.assert_close(scores, torch.stack([m(row) for m, row in zip(models, items, strict=True)]))
    gradients = torch.autograd.grad(scores.square().sum(), list(stacked.values()))
    for client, m in enumerate(models):
        own = torch.autograd.grad(m(items[client]).square().sum(), list(m.parameters()))
        for together, alone in zip(gradients, own, strict=True):
            torch.testing.assert_close(together[client], alone)


def test_shape_is_the_one_of_the_paper():
    shapes = {name: tuple(p.shape) for name, p in NCF(50).named_parameters()}
    assert shapes["user.weight"] == (1, 16)
    assert shapes["item.weight"] == (50, 16)
    assert [shapes[f"{layer}.weight"] for layer in ("first", "second", "last")] == [(32, 32), (16, 32), (1, 16)]


def test_overfits_a_toy_set():
    torch.manual_seed(0)
    model, items = NCF(30, num_users=4), torch.arange(30).repeat(4)
    users = torch.arange(4).repeat_interleave(30)
    labels = ((items + users) % 3 == 0).float()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        functional.binary_cross_entropy_with_logits(model(items, users), labels).backward()
        optimiser.step()
    assert ((model(items, users) > 0).float() == labels).all()
