"""What bfloat16 costs: the same bridges with the products of their training in float32 and in bfloat16."""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="precision",
        question="What does bfloat16 cost in transfer accuracy, with few labels and with all?",
        grid={"bridge.precision": ["float32", "bfloat16"], "n_labels": [100, "all"]},
        reference="bridge.precision=float32, n_labels=all",
    )
