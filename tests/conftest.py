"""Settings of all tests. `KERAS_BACKEND` chooses the backend, as in Keras."""

import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest

# A quiet TensorFlow, and no more threads than the test machines have cores.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "2")
# Compiling is most of what tests do on JAX; these flags cut it to a fifth. XLA aborts on flags that
# it does not know, so the second one is for the versions where it was tried.
if os.environ.get("KERAS_BACKEND") == "jax":
    flags = "--xla_backend_optimization_level=0"
    if version("jaxlib").startswith("0.10."):
        flags += " --xla_cpu_use_fusion_emitters=false"
    os.environ.setdefault("XLA_FLAGS", flags)

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than ten seconds on two quiet cores")
    if os.environ.get("KERAS_BACKEND") == "jax" and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        # Tests often build the same network again, also in other processes: compiled once.
        config.compiled = tempfile.mkdtemp(prefix="keras_video_compiled_")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = config.compiled
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def pytest_unconfigure(config):
    if hasattr(config, "compiled"):
        shutil.rmtree(config.compiled, ignore_errors=True)


@pytest.fixture
def shared():
    """The folder with specifications and reference data beside the checkout, where there is one."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared")
    return folder
