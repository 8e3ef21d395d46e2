"""Whether the compiler makes vector instructions of the loops that go through all numbers of a tensor."""

from __future__ import annotations

import platform
import re
import subprocess
from collections import Counter

import pytest

from optgen._paths import generated_folder
from optgen.catalogue.manifests import catalogue_names
from optgen.contract.kernel_plan import read_plan
from optgen.runtime.native.c_compiler import FLAGS, SOURCES, compiler
from optgen.runtime.native.library import kernel_source
from optgen.runtime.native.places import Formats


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have other vectors")
@pytest.mark.parametrize("name", catalogue_names())
def test_loops_over_elements_are_vectors(name, tmp_path):
    told = subprocess.run([compiler()[0], "--version"], capture_output=True, text=True, check=True).stdout
    if "Free Software Foundation" not in told:
        pytest.skip("only gcc tells in this form what it has done")
    path = generated_folder() / name / "native.c"
    if not path.exists():
        pytest.skip("its kernels are compiled when they are used")
    vectors = Counter[int]()
    for formats in (None, Formats("bfloat16", "bfloat16"), Formats("float16", "float32")):
        source = kernel_source(name, path.read_text(), formats)
        defines = [f"-D{macro}" for macro in source.defines]
        options = ["-march=x86-64-v3", "-fno-ipa-icf", "-fopt-info-vec-optimized", f"-I{SOURCES}", *defines]
        command = [*compiler(), *FLAGS, *options, str(path), "-o", str(tmp_path / "out.so")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines = re.findall(r"native\.c:(\d+):\d+: optimized: loop vectorized", done.stderr)
        vectors.update(map(int, lines))
    plan = read_plan(path.with_suffix(".json").read_bytes())
    launches = [n for v in plan.variants for case in v.all_cases for n in case.launches if n.domain == "element"]
    wanted = {n.kernel for n in launches}
    # Compiled for stretches of rows, of columns, and of several lines.
    of_lines = set(re.findall(r"OPTGEN_KERNEL_OF_LINES\((\w+)\)", path.read_text()))
    kernel, found = "", set()
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if match := re.match(r"OPTGEN_KERNEL(?:_OF_LINES)?\((\w+)\)", line):
            kernel = match[1]
        # Both precisions and both pairs of formats; what has nothing to compute becomes a copy of memory.
        if line.strip() == "OPTGEN_LOOP" and kernel in wanted:
            found.add(kernel)
            least = 12 if kernel in of_lines else 4
            assert vectors[number + 1] >= least or _copies(path.read_text(), number + 1), f"{kernel}, line {number + 1}"
    assert found == wanted


def _copies(text: str, line: int) -> bool:
    """Whether the loop that begins at a line computes nothing."""
    body = "\n".join(text.splitlines()[line:]).partition("\n    }")[0]
    return not re.search(r"[-+*/?(]", re.sub(r"\(number\)|const number", "", body))
