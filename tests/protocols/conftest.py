"""The small lab on each robot."""

import pytest

from tests.support.protocol_lab import SmallLab


@pytest.fixture(params=["flex", "ot2"])
def lab(request: pytest.FixtureRequest) -> SmallLab:
    return SmallLab(request.param)
