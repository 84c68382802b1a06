"""One platform for all tests of faults."""

import pytest
from fault_world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    with World(tmp_path_factory.mktemp("faults")) as made:
        yield made
