"""Table 1: how much of a sample's class the way through the bridge keeps, and how much the base model alone."""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="reconstruction",
        question="Does a sample keep its class on the way through the bridge and back?",
        rebuilds="Table 1",
        base={"n_labels": "all"},
        arms={"bridge": {}, "without SWD and classifier": {"bridge.beta_swd": 0.0, "bridge.beta_cls": 0.0}},
        reference="bridge",
        primary_metric="bridge_reconstruction_accuracy_a",
    )
