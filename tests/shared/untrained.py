"""A trial whose models and bridge are in the lab as they were initialised: for tests of what is done with one."""

from bridgelab.base_models import checkpoint
from bridgelab.bridge.model import BridgingVAE
from bridgelab.config import BridgeConfig, ClassifierConfig, Settings, VAEConfig
from bridgelab.domains import get_domain
from bridgelab.lab import Lab
from bridgelab.specs import Drawn, ModelSpec, TrialSpec
from bridgelab.trial import save_bridge
from bridgelab.wavegan_config import RejectionConfig, WaveGANConfig

VAE = VAEConfig(hidden_dim=16, n_layers=1, latent_dim=6)
WAVEGAN = WaveGANConfig(latent_dim=6, n_filters=1, n_layers=4)
JUDGE = ClassifierConfig(hidden_dim=16, n_layers=1)
BRIDGE = BridgeConfig(hidden_dim=16, n_layers=2, shared_dim=4)


def published(lab: Lab, a: str, b: str) -> TrialSpec:
    """A trial whose models and bridge are in the lab as they were initialised."""
    models = {}
    for side, name, seed in (("a", a, 0), ("b", b, 1)):
        for kind, what, config in (("base", "vae", VAE), ("judge", "classifier", JUDGE)):
            spec = ModelSpec(kind=what, domain=name, data_id="none", config=config, seed=seed)
            if not lab.exists(f"models/{spec.model_id}"):
                checkpoint.save(lab, spec, checkpoint.build(spec, get_domain(name)), {})
            models[f"{kind}_{side}"] = spec
        if name.endswith("_wave"):
            models[f"base_{side}"] = wavegan(lab, name, models[f"judge_{side}"])
    settings = Settings(bridge=BRIDGE, vae_a=VAE, vae_b=VAE, judge_a=JUDGE, judge_b=JUDGE, class_map=tuple(range(10)))
    trial = TrialSpec(settings=settings, label_seed=0, bridge_seed=0, **models)
    bridge = BridgingVAE(VAE.latent_dim, 10, BRIDGE)
    checkpoint.initialise(bridge, "bridge", 0)
    save_bridge(lab, trial, bridge.state_dict())
    return trial


def wavegan(lab: Lab, domain: str, judge: ModelSpec, **rejection: object) -> ModelSpec:
    """A WaveGAN in the lab as it was initialised."""
    values = {"rule": "likeliest", "n_per_class": 16, "n_drawn_per_class": 16} | rejection
    drawn = Drawn(judge_id=judge.model_id, rejection=RejectionConfig(**values))
    spec = ModelSpec(kind="wavegan", domain=domain, data_id="none", config=WAVEGAN, seed=0, drawn=drawn)
    if not lab.exists(f"models/{spec.model_id}"):
        checkpoint.save(lab, spec, checkpoint.build(spec, get_domain(domain)), {})
    return spec
