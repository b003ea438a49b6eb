import threading
import warnings

import pytest

from isp_gym.data.readers.quiet import quiet_output, quiet_warnings


def overlapping(region):
    """Enter in two threads, and leave in the order in which they came: the worst case of saving and restoring."""
    first_in, second_in = threading.Event(), threading.Event()

    def first():
        with region():
            first_in.set()
            assert second_in.wait(5)

    thread = threading.Thread(target=first)
    thread.start()
    assert first_in.wait(5)
    with region():
        second_in.set()
        thread.join(5)
        yield
    yield


class TestQuietWarnings:
    def test_warnings_are_heard_again_after_threads_that_overlap(self):
        stages = overlapping(quiet_warnings)
        with pytest.warns(UserWarning, match="outside") as heard:
            next(stages)
            warnings.warn("inside", UserWarning, stacklevel=1)
            next(stages)
            warnings.warn("outside", UserWarning, stacklevel=1)
        assert len(heard) == 1


class TestQuietOutput:
    def test_standard_output_comes_back_after_threads_that_overlap(self, capsys):
        stages = overlapping(quiet_output)
        next(stages)
        print("inside")
        next(stages)
        print("outside")
        assert capsys.readouterr().out == "outside\n"
