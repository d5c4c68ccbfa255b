"""The weights of the loss around the recipe's: how far each may be from it, and do they trade (claim C6)?"""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="beta_weights",
        question="How sensitive is transfer to the weights of KL, SWD and classifier?",
        base={"n_labels": "all"},
        grid={
            "bridge.beta_kl": [0.03, 0.1, 0.3],
            "bridge.beta_swd": [0.3, 1.0, 3.0],
            "bridge.beta_cls": [0.3, 1.0, 3.0],
        },
        reference="bridge.beta_kl=0.1, bridge.beta_swd=1.0, bridge.beta_cls=3.0",
    )
