"""Fig. 7: two ellipses in the plane, with one term of the loss more in each row (claim C10).

The first three rows have no classifier: where a sample lands is decided, which class it gets is not.
"""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="synthetic",
        question="What does each term of the loss do to two ellipses in the plane?",
        rebuilds="Fig. 7",
        pair="plane-plane",
        base={"n_labels": "all"},
        arms={
            "vanilla": {"bridge.conditional": False, "bridge.beta_swd": 0.0, "bridge.beta_cls": 0.0},
            "conditional": {"bridge.beta_swd": 0.0, "bridge.beta_cls": 0.0},
            "conditional + SWD": {"bridge.beta_cls": 0.0},
            "all terms": {},
        },
        reference="all terms",
        ladder=("vanilla", "conditional", "conditional + SWD", "all terms"),
    )
