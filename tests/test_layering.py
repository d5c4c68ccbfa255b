"""One direction of data: a module imports only from modules above it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bridgelab

ROOT = Path(bridgelab.__file__).parents[1]

ORDER = [
    "bridgelab.errors",
    "bridgelab.text_file",
    "bridgelab.user_file",
    "bridgelab.values",
    "bridgelab.wavegan_config",
    "bridgelab.config",
    "bridgelab.specs",
    "bridgelab.keys",
    "bridgelab.metrics",
    "bridgelab.memory",
    "bridgelab.strict_json",
    "bridgelab.patience",
    "bridgelab.hidden",
    "bridgelab.disk",
    "bridgelab.bucket",
    "bridgelab.lab",
    "bridgelab.weights",
    "bridgelab.lease",
    "bridgelab.columns",
    "bridgelab.parquet",
    "bridgelab.soundness",
    "bridgelab.results",
    "bridgelab.domains.logmel",
    "bridgelab.domains",
    "bridgelab.domains.idx",
    "bridgelab.domains.images",
    "bridgelab.domains.digits",
    "bridgelab.domains.plane",
    "bridgelab.domains.pictures",
    "bridgelab.domains.clips",
    "bridgelab.domains.speech",
    "bridgelab.domains.folder",
    "bridgelab.domains.bins",
    "bridgelab.environment",
    "bridgelab.onednn",
    "bridgelab.openblas",
    "bridgelab.base_models",
    "bridgelab.base_models.own",
    "bridgelab.base_models.vae",
    "bridgelab.base_models.wavegan",
    "bridgelab.base_models.classifier",
    "bridgelab.base_models.checkpoint",
    "bridgelab.base_models.shift",
    "bridgelab.base_models.crc32c",
    "bridgelab.base_models.tensor_bundle",
    "bridgelab.base_models.imported",
    "bridgelab.base_models.fit",
    "bridgelab.base_models.adversarial",
    "bridgelab.base_models.pretrain",
    "bridgelab.spreading",
    "bridgelab.latents",
    "bridgelab.encoding",
    "bridgelab.rejection",
    "bridgelab.bridge",
    "bridgelab.bridge.layers",
    "bridgelab.bridge.losses",
    "bridgelab.bridge.batch_norm",
    "bridgelab.bridge.model",
    "bridgelab.bridge.products",
    "bridgelab.bridge.stacked",
    "bridgelab.bridge.layout",
    "bridgelab.bridge.pool",
    "bridgelab.bridge.streams",
    "bridgelab.bridge.lockstep",
    "bridgelab.bridge.pack",
    "bridgelab.bridge.footprint",
    "bridgelab.bridge.transfer",
    "bridgelab.interpolation",
    "bridgelab.frechet",
    "bridgelab.baselines",
    "bridgelab.baselines.closed_form",
    "bridgelab.baselines.pixels",
    "bridgelab.systems",
    "bridgelab.evaluate",
    "bridgelab.rows",
    "bridgelab.trial",
    "bridgelab.media",
    "bridgelab.passage",
    "bridgelab.replicates",
    "bridgelab.sides",
    "bridgelab.study",
    "bridgelab.surrogate",
    "bridgelab.search",
    "bridgelab.history",
    "bridgelab.catalog",
    "bridgelab.declarations",
    "bridgelab.duration",
    "bridgelab.pack_size",
    "bridgelab.planning",
    "bridgelab.causes",
    "bridgelab.rehearsal",
    "bridgelab.power",
    "bridgelab.publication",
    "bridgelab.panels",
    "bridgelab.session",
    "bridgelab.pretraining",
    "bridgelab.board",
    "bridgelab.shelf",
    "bridgelab.feed",
    "bridgelab.object_store",
    "bridgelab.trainable",
    "bridgelab.tuning",
    "bridgelab.searching",
    "bridgelab.sweeping",
    "bridgelab.reproducing",
    "bridgelab.ledger",
    "bridgelab.archive",
    "bridgelab.housekeeping",
    "bridgelab.health",
    "bridgelab.cluster",
    "bridgelab.templates",
    "bridgelab.display",
    "bridgelab.options",
    "bridgelab.chores",
    "bridgelab.sending",
    "bridgelab.declaring",
    "bridgelab.cli",
]
"""From the top. `bridgelab` itself names modules and imports none."""

BELOW_ITS_PACKAGE = {
    ("bridgelab.domains", "bridgelab.domains.digits"),
    ("bridgelab.domains", "bridgelab.domains.images"),
    ("bridgelab.domains", "bridgelab.domains.plane"),
    ("bridgelab.domains", "bridgelab.domains.speech"),
    ("bridgelab.domains", "bridgelab.domains.folder"),
    ("bridgelab.domains", "bridgelab.domains.bins"),
}
"""get_domain looks its domains up when it is called."""

MAY_IMPORT = {
    "search_spaces": {"bridgelab.config"},
    "analysis": {
        f"bridgelab.{name}"
        for name in (
            "catalog",
            "columns",
            "declarations",
            "errors",
            "lab",
            "metrics",
            "parquet",
            "power",
            "replicates",
            "results",
            "strict_json",
            "study",
        )
    },
}
ONLY_HERE = {
    "ray": {
        "bridgelab.session",
        "bridgelab.causes",
        "bridgelab.pretraining",
        "bridgelab.rehearsal",
        "bridgelab.shelf",
        "bridgelab.feed",
        "bridgelab.object_store",
        "bridgelab.trainable",
        "bridgelab.tuning",
        "bridgelab.cluster",
    },
    "plotly": {"analysis.figures", "analysis.report", "analysis.panels"},
    "typer": {"bridgelab.cli", "bridgelab.options", "bridgelab.chores", "bridgelab.declaring", "bridgelab.sending"},
    "torchaudio": {"bridgelab.domains.logmel", "bridgelab.domains.speech", "bridgelab.domains.clips"},
    "soundfile": {"bridgelab.domains.clips"},
    "PIL": {"bridgelab.media", "bridgelab.domains.pictures"},
    "rich": {"bridgelab.display"},
}


def modules() -> dict[str, Path]:
    found = {}
    for package in ("bridgelab", "analysis", "search_spaces"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Every module that a module imports, also inside functions."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            yield from (f"{source}.{a.name}" if f"{source}.{a.name}" in MODULES else source for a in node.names)


def test_every_module_has_its_place() -> None:
    assert {name for name in MODULES if name.startswith("bridgelab.")} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_a_module_imports_only_from_above(name: str) -> None:
    for imported in imports(name):
        if imported in ORDER and (name, imported) not in BELOW_ITS_PACKAGE:
            assert ORDER.index(imported) < ORDER.index(name), f"{name} imports {imported}"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_studies_and_analysis_keep_to_their_part_of_bridgelab(package: str) -> None:
    for name in (n for n in MODULES if n.split(".")[0] == package):
        ours = {i for i in imports(name) if i.split(".")[0] == "bridgelab"}
        assert ours <= MAY_IMPORT[package], name


@pytest.mark.parametrize("library", ONLY_HERE)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    users = {name for name in MODULES if any(i.split(".")[0] == library for i in imports(name))}
    assert users <= ONLY_HERE[library]


def test_bridgelab_reaches_analysis_and_search_spaces_only_from_the_command_line_and_studies() -> None:
    for name in (n for n in MODULES if n.startswith("bridgelab")):
        outside = {i.split(".")[0] for i in imports(name)} & {"analysis", "search_spaces"}
        commands = {command: {"analysis"} for command in ("bridgelab.cli", "bridgelab.sending", "bridgelab.chores")}
        assert outside <= (commands | {"bridgelab.study": {"search_spaces"}}).get(name, set()), name


def test_no_module_bears_the_name_of_a_public_function() -> None:
    import analysis

    for package in (bridgelab, analysis):
        own = {n.rpartition(".")[2] for n in MODULES if n.rpartition(".")[0] == package.__name__}
        assert not own & set(package.__all__)


def test_nothing_is_unpickled() -> None:
    for name, path in MODULES.items():
        assert not {"pickle", "dill", "shelve", "joblib"} & {i.split(".")[0] for i in imports(name)}
        assert not re.search(r"(?<!safetensors\.)torch\.load", path.read_text())
