"""The heads of encoder and decoder: gated mixing against a linear layer and a plain residual (claims C1, C2)."""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="heads",
        question="Do gated mixing layers transfer better than linear or residual ones?",
        rebuilds="App. B",
        base={"n_labels": "all"},
        arms={
            "gated": {},
            "linear": {"bridge.heads": "linear"},
            "residual": {"bridge.heads": "residual"},
        },
        reference="gated",
    )
