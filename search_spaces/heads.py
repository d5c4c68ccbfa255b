"""The heads of encoder and decoder: gated mixing against a linear layer and a plain residual; and batch norm
in the layers before gated heads (claims C1, C2)."""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="heads",
        question="Do gated mixing layers transfer better than linear or residual ones, does batch norm help?",
        rebuilds="App. B",
        base={"n_labels": "all"},
        arms={
            "gated": {},
            "linear": {"bridge.heads": "linear"},
            "residual": {"bridge.heads": "residual"},
            "batch norm": {"bridge.batch_norm": True},
            "gated f": {"bridge.classifier": "gated"},
        },
        reference="gated",
    )
