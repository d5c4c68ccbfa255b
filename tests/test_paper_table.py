"""The README's table of paper and ours is made again from the Parquet parts that stand beside it."""

from pathlib import Path

import analysis
from analysis.whole import numbers_of, published_cells
from bridgelab.reproducing import PARTS

REPOSITORY = Path(__file__).parent.parent
COMMAND = "    bridgelab reproduce --table --lab ."


def test_the_readmes_table_comes_from_the_results_beside_it() -> None:
    parts = [(part.study, part.pair, part.recipe) for part in PARTS]
    text = numbers_of(analysis.read_whole(REPOSITORY, parts))
    _, _, below = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition(COMMAND)
    assert text.strip() in below
    assert text.count("\n| ") == len(list(published_cells()))
