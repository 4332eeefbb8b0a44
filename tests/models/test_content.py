"""The numbers of a catalogue's content."""

import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.models.content import content_features, title_words
from fedkd.models.hashing import hashed


def test_words_are_counted_without_case_or_marks() -> None:
    counts = title_words(["Heat, the HEAT!", "The End", ""], 512)
    expected = np.zeros((3, 512), np.float32)
    expected[0, hashed("heat", 512)] += 2
    expected[0, hashed("the", 512)] += 1
    expected[1, hashed("the", 512)] += 1
    expected[1, hashed("end", 512)] += 1
    np.testing.assert_array_equal(counts, expected)


def test_every_kind_of_content_weighs_alike() -> None:
    catalogue = Catalogue(
        np.array(["x", "y"]),
        categories=("a", "b"),
        membership=np.array([[True, True], [False, False]]),
        vectors={"text": np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)},
    )
    root = 2**-0.5
    expected = np.array([[root, root, 0.6, 0.8], [0, 0, 0, 1]]) * root
    np.testing.assert_allclose(content_features(catalogue, 0).numpy(), expected, rtol=1e-6)
    assert np.linalg.norm(content_features(catalogue, 0).numpy(), axis=1) == pytest.approx([1, root])
