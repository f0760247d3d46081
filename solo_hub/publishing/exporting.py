"""The student as one model for other programs: a merged folder for servers, GGUF for llama.cpp and Ollama."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.core.errors import ModelError
from solo_hub.core.files import write_text
from solo_hub.core.paths import home
from solo_hub.core.plugins import Prompt
from solo_hub.core.records import Question
from solo_hub.models.prompts import LISTED_STYLES, PromptBuilder
from solo_hub.student import gguf_file, merging

if TYPE_CHECKING:
    from solo_hub.evaluation.comparison.asking import Comparison

GGUF, MODELFILE = "student.gguf", "Modelfile"
PROBES = (
    Question("", "What makes a river rise in spring?", ("melting snow", "a full moon")),
    Question("", "Which animal sleeps all winter?", ("a bear", "a swallow")),
)
"""Questions on which merged model and adapter must agree."""
_QUESTION = "{question}"


def export(comparison: Comparison, out: Path) -> Path:
    """Write the student as `student.gguf` and an Ollama `Modelfile` with the prompt it was trained on.

    Args:
        comparison: The opened run or adapter repo.
        out: Folder; created if necessary.

    Returns:
        The GGUF file.

    Raises:
        ModelError: The student cannot be written as GGUF, or cannot be merged.
    """
    context, engine = comparison.context, _new_engine(comparison)
    gguf_file.check(engine.model.config, engine.tokenizer, context.name_of("base"))
    out.mkdir(parents=True, exist_ok=True)
    prompt = trained_prompt(comparison, engine)
    end = engine.ends(chat=not prompt.special_tokens)[0]
    with tempfile.TemporaryDirectory(dir=out, prefix=".merging-") as temporary:
        _merge(comparison, engine, Path(temporary) / "merged")
    name = comparison.origin.name
    gguf_file.write(
        out / GGUF, engine.model, engine.tokenizer, identity=context.name_of("base"), name=name, end_token=end
    )
    write_text(out / MODELFILE, modelfile(comparison, engine, prompt))
    return out / GGUF


def merged_folder(comparison: Comparison) -> tuple[Path, Prompt]:
    """The student as a merged model in a folder of the cache, created by the first call, and its `trained_prompt`.

    Raises:
        ModelError: The student cannot be merged.
    """
    weights = hashlib.sha256((comparison.adapter / "adapter_model.safetensors").read_bytes())
    weights.update(comparison.context.name_of("base").encode())
    folder = home() / "cache" / "merged" / weights.hexdigest()[:16]
    engine = _new_engine(comparison)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _merge(comparison, engine, folder)
    return folder, trained_prompt(comparison, engine)


def trained_prompt(comparison: Comparison, engine: Any) -> Prompt:
    """The closed-book prompt with `{question}` for the question.

    In a style that lists the options, they follow the question in its place, one a line: `A. ...`.
    """
    return _builder(comparison, engine).ask(Question("", _QUESTION), comparison.style)


def user_message(comparison: Comparison) -> str:
    """The user's message in the model's chat format, with `{question}`: what a server's chat endpoint is to be sent."""
    return PromptBuilder().ask(Question("", _QUESTION), comparison.style).text


def modelfile(comparison: Comparison, engine: Any, prompt: Prompt) -> str:
    """Ollama's Modelfile: the prompt as template, greedy decoding, one line as answer.

    Raises:
        ModelError: The prompt cannot stand in a Modelfile.
    """
    start = engine.tokenizer.bos_token if gguf_file.adds_start(engine.tokenizer) else ""
    before, _, after = prompt.text.removeprefix(start or "").partition(_QUESTION)
    if '"""' in prompt.text or "{{" in before + after:
        raise ModelError(
            "The prompt contains quotes or braces that an Ollama Modelfile cannot hold.",
            hint="Set teacher.prompt=plain and train again.",
        )
    listed = comparison.style in LISTED_STYLES
    return "\n".join((
        f"# The student of {comparison.origin.name}. Answers a question"
        + (" followed by its options, one a line: A. ..." if listed else " without its options") + ".",
        f"FROM ./{GGUF}",
        f'TEMPLATE """{before}{{{{ .Prompt }}}}{after}"""',
        "PARAMETER temperature 0",
        'PARAMETER stop "\\n"',
        f"PARAMETER num_predict {comparison.context.config.evaluation.max_new_tokens}",
        "",
    ))  # fmt: skip


def _new_engine(comparison: Comparison) -> Any:
    """The base in single precision, to merge without rounding."""
    if comparison.context.classifies:
        raise ModelError(
            "The student classifies texts: it is no language model to export or serve.",
            hint="Load it with transformers and peft, as the card of its repo shows.",
        )
    return comparison.context.new_engine(dtype="float32")


def _builder(comparison: Comparison, engine: Any) -> PromptBuilder:
    return PromptBuilder(engine.chat if comparison.context.config.teacher.prompt == "chat" else None)


def _merge(comparison: Comparison, engine: Any, out: Path) -> None:
    builder = _builder(comparison, engine)
    style = "text" if comparison.style in LISTED_STYLES else comparison.style
    with comparison.context.console.working("merging"):
        merging.merge(
            engine,
            comparison.adapter,
            out,
            [builder.ask(question, style) for question in PROBES],
            [builder.continuations(question, style) for question in PROBES],
        )
