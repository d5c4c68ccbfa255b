"""Optuna over the shape of a bridge and how fast it learns: with few labels, which one crosses best?"""

from bridgelab.config import Categorical, Float, Int, Search


def study() -> Search:
    return Search(
        name="bridge_shape",
        question="Which width, depth, shared dimension, learning rate and heads get most from 100 labels?",
        base={"n_labels": 100},
        space={
            "bridge.hidden_dim": Categorical([64, 128, 256]),
            "bridge.n_layers": Int(1, 4),
            "bridge.shared_dim": Categorical([4, 8, 16, 32]),
            "bridge.learning_rate": Float(3e-4, 1e-2, log=True),
            "bridge.heads": Categorical(["gated", "linear", "residual"]),
        },
    )
