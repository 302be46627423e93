"""What every error of ours must be: one line that holds what a user needs."""

import pytest


def one_line(error, call, *parts):
    """Assert that the call fails with the error, in one line that holds every part."""
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    for part in parts:
        assert str(part) in str(caught.value)


def refused(done, *parts):
    """Assert of a finished command: exit code 2, nothing on stdout, and one line on stderr that holds every part."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("trusteq error: ")
    for part in parts:
        assert str(part) in done.stderr
