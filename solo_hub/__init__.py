"""solo-hub: Solo Distillation for the Hugging Face Hub.

A language model teaches itself a body of knowledge without labels, and the whole result is published on the Hub.
Read `solo_hub.pipeline` first: it is the method on one page. From Python:

    run = solo_hub.distill("my.yaml", push=True)
    run.predictions.to_pandas().groupby("arm").right.mean()
    solo_hub.Student.from_pretrained("OWNER/ADAPTER@v1").answer("What falls in winter?", ["snow", "sand"])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solo_hub.cli.library import Run, Student, distill, load_run
    from solo_hub.core.config import Config

__version__ = "0.1.0"
__all__ = ["Config", "Run", "Student", "distill", "load_run"]


def __getattr__(name: str) -> Any:
    """Import what is offered on first use: `import solo_hub` alone, and so every command, loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'solo_hub' has no attribute '{name}'")
    from solo_hub.cli import library

    return getattr(library, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
