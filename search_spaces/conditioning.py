"""Which part of the bridge has to be told the domain: encoder, decoder, both or none (claim C5)."""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="conditioning",
        question="Which part of the bridge has to be told the domain?",
        rebuilds="Table 4",
        base={"n_labels": "all"},
        arms={
            "none": {"bridge.conditional": False},
            "encoder only": {"bridge.conditioned": "encoder"},
            "decoder only": {"bridge.conditioned": "decoder"},
            "both": {},
        },
        reference="both",
    )
