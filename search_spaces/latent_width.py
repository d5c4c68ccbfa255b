"""How wide the shared space has to be: the paper says 8, 16 and 100 in different places (appendix B)."""

from bridgelab.config import Study


def study() -> Study:
    return Study(
        name="latent_width",
        question="How wide does the shared space have to be?",
        base={"n_labels": "all"},
        grid={"bridge.shared_dim": [2, 4, 8, 16, 32, 100]},
        reference="bridge.shared_dim=8",
    )
