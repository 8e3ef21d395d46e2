"""The inputs that a rule asks for with its defaults."""

from __future__ import annotations

from optgen.contract.declarations import Input
from optgen.contract.manifest import Manifest


def needed_inputs(manifest: Manifest) -> list[Input]:
    """Those that an option has the rule take are left out."""
    default = manifest.variants[0].inputs
    return [declared for declared in manifest.inputs if declared.name in default]
