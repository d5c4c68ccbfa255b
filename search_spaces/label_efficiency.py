"""Table 3: transfer accuracy by the number of labelled samples (claims C3 and C4)."""

from bridgelab.config import LABEL_COUNTS, Study


def study() -> Study:
    return Study(
        name="label_efficiency",
        question="How many labels does a bridge need, and does more of them always help?",
        rebuilds="Table 3",
        grid={"n_labels": LABEL_COUNTS},
        reference="n_labels=all",
    )
