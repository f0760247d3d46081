"""The lines a repo's page shows for using the repo: how to load a model or dataset, how to start a Space."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from solo_hub.hub.server.info import app_file, card_data, space_sdk

if TYPE_CHECKING:
    from solo_hub.hub.server.core import Hub
    from solo_hub.hub.server.history import Commit
    from solo_hub.hub.server.repos import Repo

_VERSION = re.compile(r"[0-9][0-9A-Za-z.]{0,20}\Z")
_GRADIO_PORT = 7860  # where a Space listens, unless its card says otherwise


def load_lines(hub: Hub, repo: Repo, commit: Commit | None) -> str:
    """The lines for a repo, by its type, library or SDK.

    They are made to be copied, so nothing of the card goes into them that could be more than a name.
    """
    name = repo.full_name
    card = (card_data(hub, commit) if commit else None) or {}
    files = hub.trees.listing(commit.tree) if commit else {}
    if repo.type == "dataset":
        return f'from datasets import load_dataset\n\ndataset = load_dataset("{name}")'
    if repo.type == "space":
        return "\n".join(_start_space(hub, repo, commit, card, with_requirements="requirements.txt" in files))
    if "adapter_config.json" in files:
        base = card.get("base_model")
        base = base[0] if isinstance(base, list) and base else base
        base = base if isinstance(base, str) and re.fullmatch(r"[\w./-]+", base) else "BASE_MODEL"
        return (
            "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
            f'base = AutoModelForCausalLM.from_pretrained("{base}")\n'
            f'model = PeftModel.from_pretrained(base, "{name}")'
        )
    if "config.json" in files:
        return (
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            f'tokenizer = AutoTokenizer.from_pretrained("{name}")\n'
            f'model = AutoModelForCausalLM.from_pretrained("{name}")'
        )
    return f'from huggingface_hub import snapshot_download\n\nfolder = snapshot_download("{name}")'


def _start_space(
    hub: Hub, repo: Repo, commit: Commit | None, card: dict[str, Any], *, with_requirements: bool
) -> list[str]:
    """The commands that run a Space on this machine."""
    sdk = space_sdk(repo, card)
    fetch = [f"hf download {repo.full_name} --repo-type space --local-dir {repo.name}", f"cd {repo.name}"]
    app = app_file(hub, repo, commit)
    if app is None:
        return [*fetch, "# It has no app file yet."]
    version = card.get("sdk_version")
    pinned = f"=={version}" if isinstance(version, str) and _VERSION.match(version) else ""
    wanted = [f"{sdk}{pinned}"] if sdk in ("gradio", "streamlit") else []
    install = " ".join(["pip install", *wanted, *(["-r requirements.txt"] if with_requirements else [])])
    if sdk == "docker":
        port = card.get("app_port")
        port = port if isinstance(port, int) and not isinstance(port, bool) else _GRADIO_PORT
        image = repo.name.lower()
        return [*fetch, f"docker build -t {image} .", f"docker run -p 127.0.0.1:{port}:{port} {image}"]
    if sdk == "static":
        return [*fetch, "python -m http.server --bind 127.0.0.1", f"# then open http://127.0.0.1:8000/{app}"]
    run = "streamlit run" if sdk == "streamlit" else "python"
    return [*fetch, install, f"{run} {shlex.quote(app)}"]
