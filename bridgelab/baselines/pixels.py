"""The paper's baselines between the pictures themselves: Pix2Pix and CycleGAN (section 4.2), at 28x28 and the like.

Both learn a generator each way. Pix2Pix is shown pairs: the paper's only pairs are classes, so each step draws for
every labelled source a random labelled target of the class that it stands for. CycleGAN is shown no label.
Pictures are in [-1, 1] in here, as both methods have them. Shapes: B batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..base_models import fit
from ..base_models.checkpoint import give_memory, initialise_normal
from ..bridge.pack import Trained
from ..bridge.pool import in_terms_of_a, pool
from ..bridge.transfer import Crossing
from ..config import SIDES, Side, stream_seed
from ..encoding import CHUNK
from ..latents import Latents
from ..specs import TrialSpec

WAYS: tuple[str, str] = ("ab", "ba")
NO_CLASS = 255
"""What no classifier has read."""
LAMBDA_L1, LAMBDA_CYCLE, LAMBDA_IDENTITY = 100.0, 10.0, 5.0
POOL = 50
"""Of CycleGAN: former fakes that its discriminators are shown in place of half the new ones."""


class UNet(nn.Module):
    """Pix2Pix's generator: five halvings of a picture filled up to a multiple of 32, and as many doublings."""

    def __init__(self, f: int) -> None:
        super().__init__()
        widths = [f, 2 * f, 4 * f, 8 * f, 8 * f]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for i, (n_in, n_out) in enumerate(zip([1, *widths], widths, strict=False)):
            norm = [] if i in (0, 4) else [nn.BatchNorm2d(n_out)]
            before = [] if i == 0 else [nn.LeakyReLU(0.2)]
            self.down.append(nn.Sequential(*before, nn.Conv2d(n_in, n_out, 4, 2, 1), *norm))
        for i in reversed(range(5)):
            n_in = widths[i] if i == 4 else 2 * widths[i]
            n_out = widths[i - 1] if i else 1
            end: list[nn.Module] = [nn.Tanh()] if i == 0 else [nn.BatchNorm2d(n_out)]
            dropout = [nn.Dropout(0.5)] if i == 4 else []
            self.up.append(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(n_in, n_out, 4, 2, 1), *end, *dropout))

    def forward(self, x_B1HW: Tensor) -> Tensor:
        rows, columns = x_B1HW.shape[2:]
        h = F.pad(x_B1HW, (0, -columns % 32, 0, -rows % 32), value=-1)
        kept = []
        for down in self.down:
            h = down(h)
            kept.append(h)
        h = self.up[0](kept.pop())
        for up in self.up[1:]:
            h = up(torch.cat([h, kept.pop()], dim=1))
        made: Tensor = h[:, :, :rows, :columns]
        return made


class ResNet(nn.Module):
    """CycleGAN's generator: two halvings, residual blocks, two doublings, with instance norm."""

    def __init__(self, f: int, n_blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(1, f, 7), nn.InstanceNorm2d(f), nn.ReLU()]
        for n in (f, 2 * f):
            layers += [nn.Conv2d(n, 2 * n, 3, 2, 1), nn.InstanceNorm2d(2 * n), nn.ReLU()]
        layers += [_Residual(4 * f) for _ in range(n_blocks)]
        for n in (4 * f, 2 * f):
            layers += [nn.ConvTranspose2d(n, n // 2, 3, 2, 1, 1), nn.InstanceNorm2d(n // 2), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(f, 1, 7), nn.Tanh())

    def forward(self, x_B1HW: Tensor) -> Tensor:
        rows, columns = x_B1HW.shape[2:]
        made: Tensor = self.layers(F.pad(x_B1HW, (0, -columns % 4, 0, -rows % 4), value=-1))
        return made[:, :, :rows, :columns]


class _Residual(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n)]
        self.layers = nn.Sequential(*half, nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = x_BCHW + self.layers(x_BCHW)
        return out


class _Framed(nn.Module):
    """Smaller pictures in a black frame: below 16 pixels no patch is left."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        rows, columns = (max(0, 16 - n) for n in x_BCHW.shape[2:])
        return F.pad(x_BCHW, (0, columns, 0, rows), value=-1)


def patch_discriminator(n_in: int, f: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """PatchGAN with two halvings: a judgement for each patch, (B, 1, H', W')."""
    return nn.Sequential(
        _Framed(),
        *(nn.Conv2d(n_in, f, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(f, 2 * f, 4, 2, 1), norm(2 * f), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(2 * f, 4 * f, 4, 1, 1), norm(4 * f), nn.LeakyReLU(0.2)),
        nn.Conv2d(4 * f, 1, 4, 1, 1),
    )


def build(spec: TrialSpec, seed: int) -> nn.ModuleDict:
    """The networks of a trial before training: a generator and a discriminator each way."""
    c, is_pix2pix = spec.settings.pixels, spec.settings.system == "pix2pix"
    modules: dict[str, nn.Module] = {}
    with torch.device("meta"):  # no draw from the global generator
        for way in WAYS:
            modules[f"generator_{way}"] = UNet(c.n_filters) if is_pix2pix else ResNet(c.n_filters, c.n_blocks)
            norm = nn.BatchNorm2d if is_pix2pix else nn.InstanceNorm2d
            modules[f"discriminator_{way}"] = patch_discriminator(2 if is_pix2pix else 1, c.n_filters, norm)
    networks = nn.ModuleDict(modules)
    give_memory(networks)
    initialise_normal(networks, "pixels", spec.settings.system, seed)
    return networks


class PixelTraining:
    """One trial of Pix2Pix or CycleGAN in training; goes on from a snapshot to the same bits."""

    def __init__(self, spec: TrialSpec, a: Latents, b: Latents, shape: tuple[int, int]) -> None:
        self.spec, self.config, self.shape = spec, spec.settings.pixels, shape
        self.networks = build(spec, spec.bridge_seed)
        self.n_done = 0
        self.stream = torch.Generator().manual_seed(stream_seed("pixels", spec.bridge_seed, "batches"))
        self.sides = {side: _Side(spec, side, latents) for side, latents in (("a", a), ("b", b))}  # type: ignore[arg-type]
        rate = {"lr": self.config.learning_rate, "betas": (0.5, 0.999)}
        parts = {kind: [self.networks[f"{kind}_{way}"] for way in WAYS] for kind in ("generator", "discriminator")}
        self.optimizers = {
            kind: torch.optim.Adam([p for module in modules for p in module.parameters()], **rate)  # type: ignore[arg-type]
            for kind, modules in parts.items()
        }
        self._pool: dict[str, list[Tensor]] = {way: [] for way in WAYS}

    def run(self, on_step: Callable[[int], None] = lambda step: None) -> Trained:
        """Trains to the end. Its dropout draws from a stream of its own, and not from the global one."""
        with torch.random.fork_rng(devices=[]):
            self.networks.train()
            while self.n_done < self.config.n_steps:
                torch.manual_seed(stream_seed("pixels", self.spec.bridge_seed, "dropout", self.n_done))
                losses = self._pix2pix_step() if self.spec.settings.system == "pix2pix" else self._cyclegan_step()
                self.n_done += 1
                if not np.isfinite(losses).all():
                    return Trained(None, failed_at=self.n_done)
                on_step(self.n_done)
        generators = {f"generator_{way}": self.networks[f"generator_{way}"] for way in WAYS}
        return Trained(nn.ModuleDict(generators).state_dict())

    def snapshot(self) -> dict[str, Tensor]:
        """All that `restore` needs."""
        state = {"n_done": torch.tensor(self.n_done), "stream": self.stream.get_state()}
        state |= {f"networks/{name}": tensor.clone() for name, tensor in self.networks.state_dict().items()}
        for way, kept in self._pool.items():
            state |= {f"pool/{way}": torch.cat(kept)} if kept else {}
        for kind, optimizer in self.optimizers.items():
            for i, moments in optimizer.state_dict()["state"].items():
                state |= {f"optimizer/{kind}/{i}/{name}": tensor.clone() for name, tensor in moments.items()}
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.n_done = int(state["n_done"])
        self.stream.set_state(state["stream"])
        self.networks.load_state_dict(_below("networks/", state))
        self._pool = {way: list(torch.split(_below("pool/", state).get(way, torch.empty(0)), 1)) for way in WAYS}
        for kind, optimizer in self.optimizers.items():
            fit.restore(optimizer, _below(f"optimizer/{kind}/", state))

    def _pix2pix_step(self) -> list[float]:
        """min_G max_D of log D(x, y) + log(1 - D(x, G(x))), and LAMBDA_L1 |y - G(x)|, both ways."""
        losses = []
        for way in WAYS:
            source, target = (self.sides[side] for side in way)
            x, classes = source.draw_labelled(self.config.batch_size, self.stream)
            x, y = self._pictures(x), self._pictures(target.draw_of(classes, self.stream))
            generator, discriminator = self.networks[f"generator_{way}"], self.networks[f"discriminator_{way}"]
            made = generator(x)
            fooled, is_real = discriminator(torch.cat([x, made.detach()], 1)), discriminator(torch.cat([x, y], 1))
            loss_d = 0.5 * (_bce(is_real, True) + _bce(fooled, False))
            self._update("discriminator", loss_d)
            discriminator.requires_grad_(False)
            loss_g = _bce(discriminator(torch.cat([x, made], 1)), True) + LAMBDA_L1 * (made - y).abs().mean()
            self._update("generator", loss_g)
            discriminator.requires_grad_(True)
            losses += [float(loss_d.detach()), float(loss_g.detach())]
        return losses

    def _cyclegan_step(self) -> list[float]:
        """Least-squares GANs both ways, the way there and back, and the identity on the target's own."""
        real = {side: self._pictures(own.draw(self.config.batch_size, self.stream)) for side, own in self.sides.items()}
        g, d = ({way: self.networks[f"{kind}_{way}"] for way in WAYS} for kind in ("generator", "discriminator"))
        for discriminator in d.values():
            discriminator.requires_grad_(False)
        made = {way: g[way](real[way[0]]) for way in WAYS}
        loss_g = torch.zeros(())
        for way in WAYS:
            back, own = g[way[::-1]](made[way]), real[way[1]]
            loss_g = loss_g + F.mse_loss(d[way](made[way]), torch.ones(()).expand_as(d[way](made[way])))
            loss_g = loss_g + LAMBDA_CYCLE * (back - real[way[0]]).abs().mean()
            loss_g = loss_g + LAMBDA_IDENTITY * (g[way](own) - own).abs().mean()
        self._update("generator", loss_g)
        loss_d = torch.zeros(())
        for way in WAYS:
            d[way].requires_grad_(True)
            is_real, fooled = d[way](real[way[1]]), d[way](self._former(way, made[way].detach()))
            loss_d = loss_d + 0.5 * ((is_real - 1).square().mean() + fooled.square().mean())
        self._update("discriminator", loss_d)
        return [float(loss_g.detach()), float(loss_d.detach())]

    def _update(self, kind: str, loss: Tensor) -> None:
        self.optimizers[kind].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[kind].step()

    def _former(self, way: str, made: Tensor) -> Tensor:
        """Half of the fakes as they are, half from the pool, which keeps the new ones in their place."""
        pool, shown = self._pool[way], []
        for fake in torch.split(made, 1):
            if len(pool) < POOL:
                pool.append(fake)
                shown.append(fake)
            elif float(torch.rand((), generator=self.stream)) < 0.5:
                place = int(torch.randint(POOL, (), generator=self.stream))
                shown.append(pool[place])
                pool[place] = fake
            else:
                shown.append(fake)
        return torch.cat(shown)

    def _pictures(self, x_BX: Tensor) -> Tensor:
        return (2 * x_BX - 1).reshape(-1, 1, *self.shape)


class _Side:
    """The training pictures of a side: all that a trial sees, and those whose class it may read, by class."""

    def __init__(self, spec: TrialSpec, side: Side, latents: Latents) -> None:
        own = pool(spec, side, latents)
        self._x = torch.from_numpy(np.array(latents.mu))
        self._seen, self._labelled = torch.from_numpy(own.seen), torch.from_numpy(own.labelled)
        classes: NDArray[np.int64] = in_terms_of_a(own.labels, side, spec.settings.class_map)
        self._classes = torch.from_numpy(np.ascontiguousarray(classes))
        read = self._classes[self._labelled]
        self._of_class = {c: self._labelled[read == c] for c in sorted(set(read.tolist()))}

    def draw(self, n: int, stream: torch.Generator) -> Tensor:
        return self._x[self._seen[torch.randint(len(self._seen), (n,), generator=stream)]]

    def draw_labelled(self, n: int, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures with their classes."""
        index = self._labelled[torch.randint(len(self._labelled), (n,), generator=stream)]
        return self._x[index], self._classes[index]

    def draw_of(self, classes_B: Tensor, stream: torch.Generator) -> Tensor:
        """For each class a random picture of it."""
        u_B = torch.rand(len(classes_B), generator=stream)
        own = [self._of_class[c] for c in classes_B.tolist()]
        index = torch.stack([o[int(u * len(o))] for o, u in zip(own, u_B.tolist(), strict=True)])
        return self._x[index]


def _bce(judgement: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(judgement, torch.full_like(judgement, float(real)))


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


class StackedPixels:
    """Trained pairs of generators, crossed as bridges are: latents are the pictures themselves."""

    def __init__(
        self, specs: Sequence[TrialSpec], weights: Sequence[Mapping[str, Tensor]], shape: tuple[int, int]
    ) -> None:
        self._shape, self._generators = shape, []
        for spec, own in zip(specs, weights, strict=True):
            networks = build(spec, spec.bridge_seed)
            generators = nn.ModuleDict({f"generator_{way}": networks[f"generator_{way}"] for way in WAYS})
            generators.load_state_dict(dict(own))
            self._generators.append(generators.eval())

    @torch.inference_mode()
    def cross(self, z_KNX: Tensor, noise_KNS: Tensor, source: int) -> Crossing:
        """A reconstruction is the way there and back. There is no f, so no class is read on the way."""
        there = SIDES[source] + SIDES[1 - source]
        sent = torch.stack([self._made(g, there, z) for g, z in zip(self._generators, z_KNX, strict=True)])
        back = torch.stack([self._made(g, there[::-1], z) for g, z in zip(self._generators, sent, strict=True)])
        unread = torch.full(z_KNX.shape[:2], NO_CLASS)
        return Crossing(sent, back, sent if source == 0 else z_KNX, unread)

    def _made(self, generators: nn.ModuleDict, way: str, x_NX: Tensor) -> Tensor:
        parts = [
            generators[f"generator_{way}"]((2 * x - 1).reshape(-1, 1, *self._shape)).flatten(1)
            for x in torch.split(x_NX, CHUNK)
        ]
        return (torch.cat(parts) + 1) / 2
