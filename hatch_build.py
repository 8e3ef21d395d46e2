"""Puts compiled kernels into a wheel: a hook of hatchling's, used where it is asked for.

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 python -m build --wheel

Without it a wheel holds no compiled code and suits every machine; kernels are then compiled where they are used.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags


class NativeKernels(BuildHookInterface):
    """Compiles the catalogue's kernels for every level of this kind of processor."""

    def dependencies(self) -> list[str]:
        """What has to be installed to build: the package itself is run."""
        return list(self.metadata.core.dependencies)

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is written."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from optgen._paths import generated_folder
        from optgen.runtime.jax.call import xla_source
        from optgen.runtime.native.library import driver_source, kernel_source
        from optgen.runtime.native.places import Formats
        from optgen.runtime.native.prebuilt import compile_all

        folder = Path(self.root) / "build" / "native"
        shutil.rmtree(folder, ignore_errors=True)
        # Other formats are compiled where they are used.
        formats = (None, Formats("bfloat16", "bfloat16"), Formats("bfloat16", "float32"))
        files = sorted(generated_folder().glob("*/native.c"))
        kernels = (kernel_source(file.parent.name, file.read_text(), one) for file in files for one in formats)
        compile_all([driver_source(), xla_source("xla"), xla_source("gpu"), *kernels], folder)
        build_data["force_include"][str(folder)] = "optgen/runtime/native/lib"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(sys_tags()).platform}"
