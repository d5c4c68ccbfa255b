"""docs/commands.md names every command with its options, every field of its JSON, and every metric."""

import importlib
import itertools
import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bridgelab.cli import app
from bridgelab.metrics import FRECHET, LANDING, METRICS, PATHS

REPOSITORY = Path(__file__).parent.parent
PAGE = (REPOSITORY / "docs/commands.md").read_text()
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def options_of(command: str) -> set[str]:
    return {name for one in COMMANDS[command].params for name in one.opts if name.startswith("--")}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def named_in(text: str) -> set[str]:
    """Names in backticks, where x_{a,b} is x_a and x_b."""
    found = set()
    for name in re.findall(r"`([^`]+)`", text):
        parts = [part.split(",") for part in re.split(r"[{}]", name)]
        found |= {"".join(some) for some in itertools.product(*parts)}
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_row_with_its_options(command: str) -> None:
    row = re.search(rf"^\| `{command}[` ].*$", PAGE, re.MULTILINE)
    assert row is not None
    said = set(re.findall(r"`(--[a-z-]+)`", row[0].split(" | ")[-1]))
    said = options_of("sweep") - said if "those of `sweep`" in row[0] else said
    assert said == options_of(command)


def test_every_option_is_explained() -> None:
    explained = set(re.findall(r"--[a-z-]+", "".join(re.findall(r"^\| `-[^|]*(?:\\\|[^|]*)*", PAGE, re.MULTILINE))))
    assert explained == set().union(*map(options_of, COMMANDS))


def test_every_call_in_python_is_there() -> None:
    calls = re.findall(r"`(bridgelab|analysis)\.(\w+)`", section("In Python"))
    assert len(calls) > 20
    for package, name in calls:
        assert name in importlib.import_module(package).__all__


@pytest.mark.parametrize(
    "words",
    ["table no_labels --lab .", "status --lab .", "plan heads --pair digits-digits", "plan loss_weights"],
)
def test_every_field_of_json_is_explained(monkeypatch, words: str) -> None:
    monkeypatch.chdir(REPOSITORY)
    found = json.loads(CliRunner().invoke(app, [*words.split(), "--json"]).stdout)
    assert set(found[0] if isinstance(found, list) else found) <= named_in(section("JSON"))


def test_every_metric_is_explained() -> None:
    assert {*METRICS, *LANDING, *FRECHET, *PATHS} == named_in(section("Metrics")) - {"test", "a", "b", "ab", "ba"}
