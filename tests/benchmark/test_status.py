"""What is said of work that takes a while, on a terminal and in a pipe."""

import io
import time

import pytest
from rich.console import Console

from isp_gym.benchmark.status import Status, TimeLeft, duration


class TestInAPipe:
    def lines(self, seconds, now=None, every=0.1):
        file = io.StringIO()
        with Status(Console(file=file, width=20), every).doing("scoring 200 test scenes", now):
            time.sleep(seconds)
        return file.getvalue().splitlines()

    def test_a_line_when_work_begins_however_long_it_is(self):
        assert self.lines(0) == ["scoring 200 test scenes"]

    def test_then_one_now_and_then_with_the_time_left(self):
        start = time.monotonic()

        def now():
            share = (time.monotonic() - start) / 100
            return f"scoring {200 * share:.0f} of 200", share

        lines = self.lines(0.55, now)
        assert 3 <= len(lines) <= 6 and lines[0] == "scoring 200 test scenes"
        assert lines[-1].startswith("scoring 1 of 200, about 2") and lines[-1].endswith(" min left")

    def test_the_minute_has_not_passed(self):
        assert self.lines(0.3, lambda: ("never", 0.5), every=60) == ["scoring 200 test scenes"]

    @pytest.mark.parametrize(("seconds", "said"), [(0, ""), (0.1, "work\n")])
    def test_work_that_fails_at_once_leaves_the_error_alone(self, seconds, said):
        file = io.StringIO()
        with pytest.raises(ValueError), Status(Console(file=file), 0.08).doing("work"):
            time.sleep(seconds)
            raise ValueError
        time.sleep(0.2)
        assert file.getvalue() == said


def test_on_a_terminal_one_line_is_written_again_and_what_is_printed_stays_on_standard_output(capfd):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, color_system=None)
    shares = iter([0.0, 0.25, 0.5, *[0.75] * 99])
    with Status(console).doing("begins", lambda: (f"at {next(shares)}", 0.0)):
        print("from the agent")
        time.sleep(0.7)
    drawn = file.getvalue()
    assert "at 0.25" in drawn and "\n\n" not in drawn and drawn.count("\n") <= 1
    assert capfd.readouterr().out == "from the agent\n"


def test_nowhere(capfd):
    with Status().doing("work", lambda: ("more", 0.5)):
        pass
    assert capfd.readouterr() == ("", "")


class TestTimeLeft:
    def test_is_that_of_the_pace_so_far(self):
        left = TimeLeft()
        assert [left.text(share, now) for share, now in ((0.0, 0), (0.1, 5), (0.1, 6))] == ["", "", ""]
        assert left.text(0.3, 25.0) == ", about 70 s left"

    def test_what_was_done_before_an_interruption_says_nothing_of_the_pace(self):
        left = TimeLeft()
        left.text(0.0, 0.0)
        left.text(0.8, 1.0)
        assert left.text(0.81, 11.0) == ", about 3 min left"

    def test_its_words(self):
        assert [duration(s) for s in (0.2, 89.4, 90, 3600, 5400)] == ["0 s", "89 s", "2 min", "60 min", "1.5 h"]
