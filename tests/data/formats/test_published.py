"""Every published form on made-up files: the histories, the content, the counts, and every compression."""

from pathlib import Path

import pytest

from fedkd.testing.sources import check_source
from tests.data.formats.samples import PLAYS, SAMPLES, Sample
from tests.data.sources.tiny import histories

each = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.source}/{sample.first}")


def target(sample: Sample, folder: Path) -> Path:
    """Return what data.path names: the folder, or the file where the format says nothing of its name."""
    return folder / sample.first if sample.source in ("sasrec", "history-lines", "json-lines", "npz") else folder


@each
def test_a_format_is_read_as_it_is_described(sample: Sample, tmp_path: Path) -> None:
    loaded = check_source(sample.read_from(target(sample, sample.written(tmp_path))), len(PLAYS))
    data, catalogue = loaded.interactions, loaded.interactions.catalogue
    assert histories(data) == sample.histories
    assert loaded.dropped == {}
    assert (data.times is not None) == sample.times
    assert (catalogue.titles is not None) == ("titles" in sample.content)
    assert (len(catalogue.categories) > 0) == ("categories" in sample.content)
    assert (catalogue.years is not None) == ("years" in sample.content)
