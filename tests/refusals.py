"""What every error of ours must be: one line that holds what a user needs."""

import pytest


def one_line(error, call, *parts):
    """Assert that the call fails with the error, in one line that holds every part."""
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    for part in parts:
        assert str(part) in str(caught.value)
