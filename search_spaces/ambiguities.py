"""Where the paper can be read in two ways, or its code does otherwise: from the text, one reading at a time."""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="ambiguities",
        question="Which reading of the paper makes the method work?",
        recipe="paper",
        base={"n_labels": "all"},
        arms={
            "the text": {},
            "L2 as a mean": {"bridge.reconstruction": "mean"},
            "half the L2": {"bridge.reconstruction": "half_sum"},
            "KL 0.1": {"bridge.beta_kl": 0.1},
            "KL 0.005": {"bridge.beta_kl": 0.005},
            "shared 100": {"bridge.shared_dim": 100},
            "SWD 3, Cls 0.3": {"bridge.beta_swd": 3.0, "bridge.beta_cls": 0.3},
            "Cls 3": {"bridge.beta_cls": 3.0},
            "W2": {"bridge.swd": "root"},
            "W1": {"bridge.swd": "absolute"},
            "gated f": {"bridge.classifier": "gated"},
            "frozen f": {"bridge.classifier_trained": False},
            "masked labels": {"bridge.labelled_batch": "masked"},
            "balanced batches": {"bridge.unlabelled_batch": "label_balanced"},
            "same labels": {"labelled": "same"},
            "disjoint halves": {"overlap": "disjoint"},
            "from means": {"decode": "mean"},
            "L2 as a mean, Cls 3": {"bridge.reconstruction": "mean", "bridge.beta_cls": 3.0},
        },
        reference="the text",
    )
