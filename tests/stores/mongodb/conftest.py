"""Stores on real servers."""

import pytest

from drplatform.stores import mongodb


@pytest.fixture
def store(mongodb_endpoint, clock):
    return mongodb.connect(mongodb_endpoint, clock)


@pytest.fixture
def pair(mongodb_endpoint_pair, clock):
    """Source and target."""
    return tuple(mongodb.connect(endpoint, clock) for endpoint in mongodb_endpoint_pair)
