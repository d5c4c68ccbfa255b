"""What is named is there, and nothing heavy is loaded before it is needed."""

import subprocess
import sys

import pytest

import analysis
import bridgelab

QUIET = "import sys; {}; print(sorted({{m.split('.')[0] for m in sys.modules}} & {{'torch', 'ray'}}))"


def loaded(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", QUIET.format(code)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("package", [bridgelab, analysis])
def test_every_public_name_can_be_had_twice(package) -> None:
    for name in package.__all__:
        assert getattr(package, name) is getattr(package, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'swep'"):
        _ = bridgelab.swep


@pytest.mark.parametrize(
    "code",
    [
        "import bridgelab",
        "import bridgelab.cli",
        "import analysis",
        "import bridgelab; bridgelab.plan('label_efficiency', lab='/nonexistent/lab')",
        "import bridgelab.ledger",
        "import bridgelab.display",
    ],
)
def test_neither_torch_nor_ray_is_loaded_by(code: str) -> None:
    assert loaded(code) == "[]"
