"""The inputs that a rule asks for with its defaults."""

from __future__ import annotations

from optgen.language.model import Input
from optgen.targets.manifest import Manifest


def needed_inputs(manifest: Manifest) -> list[Input]:
    """Those that an option has the rule take are left out."""
    default = manifest.variants[0].inputs
    return [declared for declared in manifest.inputs if declared.name in default]
