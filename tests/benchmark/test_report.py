"""The report of a comparison that was run for real."""

import re
from html.parser import HTMLParser
from shutil import copytree

import pytest

from isp_gym.benchmark.report import write_report


class _References(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


@pytest.fixture
def page(finished):
    return (finished[1] / "report.html").read_text()


@pytest.fixture
def page_of(results, finished, tmp_path):
    """The report of changed results: ``page_of(change)``."""
    copytree(finished[1], tmp_path / "x")

    def make(change):
        change(results)
        write_report(results, tmp_path / "x")
        return (tmp_path / "x" / "report.html").read_text()

    return make


def test_opens_without_a_network(page):
    parser = _References()
    parser.feed(page)
    assert parser.found and all(value.startswith(("data:image/png;base64,", "#")) for value in parser.found)
    assert not re.search(r"url\(\s*['\"]?http|@import|<script", page)


def test_shows_table_curves_pictures_and_pipelines(page, agents):
    for agent in agents:
        assert f"<td>{agent}</td>" in page
    assert page.count("<svg") == 5  # validation and test score, entropy, probability, length
    assert page.count("<figure>") == 1 * (1 + len(agents) + 1)  # input, agents and target of one scene


def test_axes_say_what_is_drawn(page):
    for label in ("validation PSNR, dB", "test PSNR, dB", "entropy of the sequence, nats"):
        assert f"<!-- {label} -->" in page


def test_names_are_no_markup(page_of, finished):
    def rename(results):
        for row in results["rows"]:
            row["scenes"][0]["scene"] = "<b>x</b>"

    page = page_of(rename)
    assert "<b>x</b>" not in page and "&lt;b&gt;x&lt;/b&gt;" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ended": "run_timeout"}, "ended because nothing was spent for 3600.0 s"),
        ({"ended": "env_steps"}, "environment steps, most of which cost no evaluation"),
        ({"resumed_inexactly": True}, "not the same to the bit as an unbroken run"),
    ],
)
def test_a_run_that_is_not_like_the_others_is_marked(page, page_of, change, words):
    def mark(results):
        results["rows"][1].update(change)

    assert words not in page
    assert words in " ".join(page_of(mark).split())


def test_scenes_left_out_are_counted(page_of):
    def leave_out(results):
        for row in results["rows"]:
            row["scenes_left_out"] = 2

    assert "The means leave out 2 test scenes with a constant target" in page_of(leave_out)


def test_an_upper_bound_is_not_the_best(page, page_of):
    def bound(results):
        best = max(results["rows"], key=lambda row: row["metrics"]["psnr"])
        best["observes"] = "target"
        bound.agent = best["agent"]

    changed = page_of(bound)
    assert f'<tr class="best"><td>{bound.agent}' in page
    assert f'<tr class="best"><td>{bound.agent}' not in changed


def test_numbers_and_their_nouns_agree(page, page_of):
    one = " ".join(page.split())
    assert "<p>1 seed, 48 task evaluations" in one and "One seed: how much training varies is not known." in one
    assert "one process on one core, without" in one and "of 3 photographs, " in one

    def more(results):
        results["config"]["seeds"] = [1, 2]
        results["cost"]["jobs"] = 3
        results["failures"] = [{"agent": "camera", "seed": 2}]

    several = " ".join(page_of(more).split())
    assert "<p>2 seeds, 48 task evaluations" in several and "Mean ± standard deviation over seeds" in several
    assert "one process on one core beside 2 others, without" in several
    assert "1 run failed, missing here: camera, seed 2." in several


def test_headings_and_sentences_begin_with_a_capital(page):
    found = re.findall(r"<(?:h1|h2|h3|th|p)(?: class=\"\w+\")?>\s*([^\s<])", page)
    assert len(found) > 12 and not [first for first in found if first.islower()]
