"""Beyond Table 3: a hundred labels that spread to the samples without one, under the bridge and under class-wise OT."""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="label_spreading",
        question="What do few labels gain if they spread to all samples first, and is it the bridge that gains?",
        rebuilds="beside Table 3",
        base={"n_labels": 100},
        grid={"system": ("bridge", "gaussian_ot"), "label_spreading": (False, True)},
        reference="system=bridge, label_spreading=True",
    )
