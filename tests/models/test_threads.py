"""Libraries compute in as many threads as a block is given."""

import numpy  # noqa: F401
import pytest
from threadpoolctl import threadpool_info

from fedkd.models.threads import limited_threads


@pytest.mark.parametrize("threads", [1, 2])
def test_a_block_has_its_threads_and_leaves_no_trace(threads: int) -> None:
    before = [pool["num_threads"] for pool in threadpool_info()]
    for _ in range(2):
        with limited_threads(threads):
            assert {pool["num_threads"] for pool in threadpool_info()} == {threads}
        assert [pool["num_threads"] for pool in threadpool_info()] == before
