"""A users file with everything that proves who somebody is."""

import pytest
from proofs_site import Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)
