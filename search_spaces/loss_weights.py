"""Optuna over the weights of the loss: with few labels, how much is there to gain over the recipe's?"""

from bridgelab.config import Float, Search


def study() -> Search:
    return Search(
        name="loss_weights",
        question="Which weights of KL, SWD and classifier get most from 100 labels?",
        base={"n_labels": 100},
        space={
            "bridge.beta_kl": Float(0.003, 1.0, log=True),
            "bridge.beta_swd": Float(0.03, 30.0, log=True),
            "bridge.beta_cls": Float(0.03, 30.0, log=True),
        },
    )
