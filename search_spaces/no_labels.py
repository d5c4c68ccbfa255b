"""Table 3, first column: without a label, is transfer above chance, and because of SWD (claim C3)?"""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="no_labels",
        question="Without a label, is transfer above chance, and because of SWD?",
        rebuilds="Table 3",
        base={"n_labels": 0},
        arms={"without SWD": {"bridge.beta_swd": 0.0}, "with SWD": {}, "ten times SWD": {"bridge.beta_swd": 10.0}},
        reference="with SWD",
    )
