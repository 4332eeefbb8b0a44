"""The content classifier: titles and a teacher tell categories of items that it was not trained on."""

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.content_classifier import classification_quality, classified_features, fit_classifier
from fedkd.distillation.pipeline import pretrain
from fedkd.errors import UserError
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.ragged import Ragged
from fedkd.training.options import StepTraining

ITEMS, KINDS = 80, 4
OF = np.arange(ITEMS) % KINDS
MEMBER = np.eye(KINDS, dtype=bool)[OF] | (np.arange(ITEMS) < 20)[:, None] & (np.arange(KINDS) == 3)
WORDS = ("night", "day", "sea", "war")
TITLES = np.array([f"{WORDS[k]} {i} {'robot' if i < 20 else 'rose'}" for i, k in enumerate(OF)])
CATALOGUE = Catalogue(np.arange(ITEMS).astype(str), TITLES, ("a", "b", "c", "d"), MEMBER)
TRAIN, TEST = np.flatnonzero(np.arange(ITEMS) // 4 % 2), np.flatnonzero(np.arange(ITEMS) // 4 % 2 == 0)


def test_words_of_titles_tell_the_categories_of_other_items() -> None:
    features = classified_features(CATALOGUE)
    classifier = fit_classifier(CATALOGUE, features, TRAIN, np.random.default_rng(0))
    quality = classification_quality(classifier, CATALOGUE, features, TEST)
    assert min(quality.values()) > 0.85
    everything = np.ones_like(CATALOGUE.membership[TEST])
    assert quality["micro-f1"] > 2 * (everything & CATALOGUE.membership[TEST]).sum() / (
        everything.sum() + CATALOGUE.membership[TEST].sum()
    )


def test_a_teacher_tells_what_titles_do_not() -> None:
    blank = Catalogue(
        CATALOGUE.ids, np.array(["the film"] * ITEMS), CATALOGUE.categories, np.eye(KINDS, dtype=bool)[OF]
    )
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(kind == OF)[rng.choice(20, 8, replace=False)] for kind in rng.choice(KINDS, 120)]
    teacher = AutoencoderConfig(width=8).build(blank, 0)
    pretrain(teacher, Ragged.from_rows(rows, np.int32), StepTraining(steps=100, visible=0.5), rng)
    found = []
    for features in (classified_features(blank), classified_features(blank, teacher=teacher)):
        classifier = fit_classifier(blank, features, TRAIN, np.random.default_rng(0))
        found.append(classification_quality(classifier, blank, features, TEST)["macro-f1"])
    assert found[0] < 0.5
    assert found[1] > 0.9


def test_categories_themselves_are_not_seen() -> None:
    other = Catalogue(CATALOGUE.ids, TITLES, ("a",), np.ones((ITEMS, 1), bool))
    assert torch.equal(classified_features(CATALOGUE), classified_features(other))


def test_a_catalogue_without_categories_is_refused() -> None:
    blank = Catalogue(CATALOGUE.ids, TITLES)
    with pytest.raises(UserError, match="needs items with categories"):
        fit_classifier(blank, classified_features(blank), TRAIN, np.random.default_rng(0))
