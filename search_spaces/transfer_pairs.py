"""Table 2, last row: the bridge with all labels between a pair of domains. `--pair` says which."""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="transfer_pairs",
        question="How often does a sample keep its class on the way to the other domain?",
        rebuilds="Table 2",
        base={"n_labels": "all"},
        arms={"bridge": {}},
        reference="bridge",
        fid=True,
    )
