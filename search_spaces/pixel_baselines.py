"""Table 5 and Fig. 9: the bridge beside Pix2Pix and CycleGAN, which go between the pictures themselves.

They take minutes where a bridge takes seconds, so there are two replicates, and the table says so.
"""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="pixel_baselines",
        question="Is a bridge better than translating the pictures?",
        rebuilds="Table 5",
        base={"n_labels": "all"},
        arms={"bridge": {}, "Pix2Pix": {"system": "pix2pix"}, "CycleGAN": {"system": "cyclegan"}},
        reference="bridge",
        fid=True,
        n_replicates=2,
    )
