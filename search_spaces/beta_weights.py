"""The weights of the loss around the recipe's: how far each may be from it, and do they trade (claim C6)?"""

from bridgelab.config import Study, Times


def study() -> Study:
    return Study(
        name="beta_weights",
        question="How sensitive is transfer to the weights of KL, SWD and classifier?",
        base={"n_labels": "all"},
        grid={
            "bridge.beta_kl": Times((1 / 3, 1, 3)),
            "bridge.beta_swd": Times((1 / 3, 1, 3)),
            "bridge.beta_cls": Times((1 / 3, 1, 3)),
        },
    )
