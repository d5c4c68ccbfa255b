"""The report: one file, offline, with the table's numbers in its text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import analysis


def rising(arm: str, replicate: int, metric: str) -> float:
    return 0.5 + 0.1 * replicate


class Reader(HTMLParser):
    """Collects the text outside scripts, and every address that a browser would ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.addresses, self._skip = "", [], False

    def handle_starttag(self, tag, attrs):
        self._skip = tag in ("script", "style")
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag):
        self._skip = False

    def handle_data(self, data):
        self.text += "" if self._skip else data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


@pytest.fixture
def report(lab, fill) -> str:
    fill("label_efficiency", rising)
    fill("component_ablation", rising, failed=(("vanilla", 1),))
    return analysis.render_report([analysis.read_run(lab, s) for s in ("label_efficiency", "component_ablation")])


def test_a_report_asks_for_nothing_from_a_network(report: str) -> None:
    assert all(address.startswith("data:") for address in read(report).addresses)
    assert "@import" not in report.split("<script>")[0]


def test_plotly_is_inlined_once(report: str) -> None:
    assert len(re.findall(r"plotly\.js v\d", report)) == 1
    assert len(report) < 12_000_000


def test_the_numbers_are_in_the_text_and_need_no_script(report: str) -> None:
    text = read(report).text
    assert "0.650 [0.445, 0.855]" in text
    assert "How many labels does a bridge need" in text
    assert "bridgelab sweep label_efficiency --pair digits-digits --preset desk --recipe default --seeds 4" in text


def test_failures_are_shown_with_their_class(report: str) -> None:
    text = read(report).text
    assert "What is missing" in text
    assert "the loss was not finite at step 3" in text
    assert "23 of 24" in text


def test_every_figure_has_a_text_alternative(report: str) -> None:
    figures = re.findall(r'<div class="figure"[^>]*>', report)
    assert len(figures) == 4  # a figure and a forest for each of two runs
    assert all('role="img"' in figure and 'aria-label="' in figure for figure in figures)


def test_names_of_the_users_own_are_escaped(lab, fill, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from bridgelab import Study\n"
        "def study():\n"
        "    return Study(name='mine', question='<script>alert(1)</script>', grid={'bridge.beta_kl': [0.1, 0.2]})\n"
    )
    fill(str(path), rising)
    report = analysis.render_report([analysis.read_run(lab, "mine")])
    assert "<script>alert(1)" not in report
    assert "&lt;script&gt;alert(1)" in report


def test_a_report_is_written_whole(lab, fill, tmp_path: Path) -> None:
    fill("label_efficiency", rising)
    path = analysis.write_report([analysis.read_run(lab, "label_efficiency")], tmp_path / "a/report.html")
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
