"""Table 4: what each component of the bridge contributes, added one by one and left out one at a time.

All arms have all labels. In the paper's table the classifier is on in every column, so it is here.
"""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="component_ablation",
        question="Which component of the bridge is transfer owed to?",
        rebuilds="Table 4",
        base={"n_labels": "all"},
        arms={
            "vanilla": {"bridge.conditional": False, "bridge.beta_swd": 0.0},
            "conditional": {"bridge.beta_swd": 0.0},
            "full": {},
            "no conditioning": {"bridge.conditional": False},
            "no classifier": {"bridge.beta_cls": 0.0},
            "no gated head": {"bridge.heads": "linear"},
        },
        reference="full",
        ladder=("vanilla", "conditional", "full"),
        leave_one_out={
            "conditioning": "no conditioning",
            "SWD": "conditional",
            "classifier": "no classifier",
            "gated head": "no gated head",
        },
    )
