"""The report in a real browser: drawn whole, asked nothing of a network, and answers a click."""

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filling import fill_lab
from playwright.sync_api import Page, sync_playwright

import analysis
from bridgelab.domains.clips import sound_bytes
from bridgelab.lab import Lab
from bridgelab.media import picture_bytes
from bridgelab.results import PANEL, Results

pytestmark = pytest.mark.browser
TERM = "validation/transfer_accuracy_ab"
MOST_BYTES = 12 * 2**20


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """opened(path, **settings): a page, with what it said and asked for."""
    contexts = []

    def open_page(path: Path, **settings: object) -> tuple[Page, list[str], list[str]]:
        context = chromium.new_context(**settings)
        contexts.append(context)
        page, said, asked = context.new_page(), [], []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page, said, asked

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A report of two studies, with learning curves and predictions."""
    folder = tmp_path_factory.mktemp("written")
    lab = Lab(folder / "lab")
    for study in ("label_efficiency", "component_ablation"):
        resolved = fill_lab(lab, study, lambda arm, replicate, metric: 0.5 + 0.01 * replicate + 0.02 * len(arm))
        curves = [
            {
                "trial_id": m.trial.trial_id,
                "attempt": 0,
                "step": s,
                "term": "validation/transfer_accuracy_ab",
                "value": 0.5,
            }
            for m in resolved.members
            for s in (10, 20, 30)
        ]
        Results(lab).write("curves", resolved.study_id, curves)
        classes = dict.fromkeys(("true_label", "original", "source", "transferred", "reconstructed", "shared"), 1)
        about = {"attempt": 0, "split": "test", "item": 0, **classes}
        predictions = [
            {"trial_id": m.trial.trial_id, "judge_id": m.trial.judge_id, "direction": d, **about}
            | {"decode": m.arm.settings.decode}
            for m in resolved.members
            for d in ("ab", "ba")
        ]
        Results(lab).write("predictions", resolved.study_id, predictions)
        _publish_clip(lab, resolved.members[0].trial.trial_id)
    runs = [analysis.read_run(lab, name) for name in ("label_efficiency", "component_ablation")]
    return analysis.write_report(runs, folder / "report.html")


def _publish_clip(lab: Lab, trial_id: str) -> None:
    """A panel with one sound of a fifth of a second, as a picture and to be heard."""
    about = dict(kind="transfer", direction="ab", row="source", place=0, true_class="one", judged_class="one")
    tone = np.sin(2 * np.pi * 440 * np.arange(1600) / 8000).astype(np.float32)
    media = {"png": picture_bytes(np.zeros((8, 8), np.float32), scale=1), "wav": sound_bytes(tone, 8000)}
    rows = [{**about, "medium": medium, "data": data} for medium, data in media.items()]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=PANEL), sink)
    lab.publish(f"panels/{trial_id}.parquet", sink.getvalue())


def test_a_clip_is_heard_by_a_click(opened, written) -> None:
    page, said, _ = opened(written)
    button = page.get_by_role("button", name="play: one, read as one").first
    button.scroll_into_view_if_needed()
    assert button.bounding_box()["width"] > 10
    ended = "() => new Promise((done) => (document.querySelector('audio').onended = () => done('heard')))"
    heard = page.evaluate_handle(f"({{ promise: ({ended})() }})")
    button.click()
    assert heard.evaluate("(it) => it.promise") == "heard"
    assert said == []


def test_every_figure_is_drawn_and_nothing_is_asked_of_a_network(opened, written) -> None:
    page, said, asked = opened(written)
    n_figures = page.locator(".figure").count()
    assert n_figures >= 8
    for place in range(n_figures):
        page.locator(".figure").nth(place).scroll_into_view_if_needed()
        page.locator(".figure").nth(place).locator(".main-svg").first.wait_for()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_click_on_a_number_shows_its_trials(opened, written) -> None:
    page, said, _ = opened(written)
    page.locator("#study-1 button.cell", has_text="0.655").first.click()
    shown = page.locator("dialog[open]")
    assert shown.locator("tr").count() == 1 + 4
    assert "vanilla: 4 trials" in shown.inner_text()
    shown.get_by_role("button", name="Close").click()
    assert page.locator("dialog[open]").count() == 0
    assert said == []


def test_a_table_is_copied_and_its_trials_are_a_file(opened, written, tmp_path) -> None:
    page, _, _ = opened(written, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as Markdown").first.click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith("label_efficiency · digits-digits")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the trials").first.click()
    download.value.save_as(tmp_path / "trials.parquet")
    assert len(pd.read_parquet(tmp_path / "trials.parquet")) == 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_in_dark(opened, written, scheme: str) -> None:
    page, _, _ = opened(written, color_scheme=scheme)
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.body).{name}.match(/[0-9]+/g).slice(0, 3).map(Number)")
        for name in ("color", "backgroundColor")
    )
    assert abs(sum(ink) - sum(paper)) > 3 * 128
    assert (sum(ink) > sum(paper)) == (scheme == "dark")


def test_a_phone_scrolls_tables_and_never_the_page(opened, written) -> None:
    page, _, _ = opened(written, viewport={"width": 375, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_it_prints_without_buttons(opened, written) -> None:
    page, _, _ = opened(written)
    page.emulate_media(media="print")
    assert page.locator(".keep").first.is_hidden()
    assert len(page.pdf()) > 50_000
    assert page.locator(".figure[data-drawn]").count() == page.locator(".figure").count()


def test_without_javascript_the_tables_are_there(opened, written) -> None:
    page, _, _ = opened(written, java_script_enabled=False)
    assert "0.655 [0.634, 0.676]" in page.locator("#study-1 table").first.inner_text()
    assert "mean with its 95 % interval" in str(page.locator(".figure").first.get_attribute("aria-label"))


@pytest.mark.slow
def test_a_report_of_a_thousand_trials_is_small_and_drawn(opened, lab, fill, tmp_path) -> None:
    fill("label_efficiency", lambda arm, replicate, metric: 0.5 + 0.001 * (replicate % 7), n_replicates=170)
    path = analysis.write_report([analysis.read_run(lab, "label_efficiency")], tmp_path / "large.html")
    assert path.stat().st_size < MOST_BYTES
    page, said, _ = opened(path)
    page.locator(".figure .main-svg").first.wait_for()
    assert said == []
