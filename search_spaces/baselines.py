"""Tables 2 and 5: the bridge beside what else makes a map between two domains from the same labels.

The maps in closed form are between the same latents. The paper has none of them; without them its
0.945 has no reference.
"""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="baselines",
        question="Is a bridge better than what else the same labels make?",
        rebuilds="Table 5",
        base={"n_labels": "all"},
        arms={
            "bridge": {},
            "Procrustes": {"system": "procrustes"},
            "least squares": {"system": "least_squares"},
            "class-wise OT": {"system": "gaussian_ot"},
        },
        reference="bridge",
        fid=True,
    )
