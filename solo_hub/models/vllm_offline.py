"""The base model in vLLM, in this process and on this machine's GPU: scores options by their prompt log-probabilities.

It labels; training and the student are transformers', with a copy of the base of their own. vLLM reads the prompt again
for every option, where `causal` reads it once, but keeps a GPU busy with many requests at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from solo_hub.core.errors import ConfigError, DependencyError
from solo_hub.core.plugins import Generation, Prompt
from solo_hub.core.settings import EngineSettings
from solo_hub.models import loading
from solo_hub.models.base_files import BaseFiles
from solo_hub.models.remote import RemoteModel
from solo_hub.models.served import first_line

SHARE_OF_MEMORY = 0.45  # of the GPU, for weights and cache; the rest is for the student's copy of the base
LONGEST = 8192  # tokens: vLLM reserves a cache for the longest prompt, and some bases allow a million tokens


class VllmEngine(RemoteModel):
    """Implements `plugins.Engine`.

    Args:
        path: Local snapshot of the base model.
        identity: Repo and commit.
        settings: The section `engine` of the configuration.

    Raises:
        ConfigError: 4-bit precision was requested.
        DependencyError: vLLM is not installed (when it is first needed).
    """

    base_files = BaseFiles

    def __init__(self, path: Path, identity: str, *, settings: EngineSettings) -> None:
        if settings.dtype == loading.NF4:
            raise ConfigError(
                "The engine 'vllm' does not label in 4 bits.",
                hint="Set engine.dtype=auto; student.adapter=qlora still trains in 4 bits.",
            )
        super().__init__(path, identity, settings=settings)

    @property
    def title(self) -> str:
        """Its name in messages."""
        return "vLLM"

    @property
    def identity(self) -> str:
        """Model and commit, engine, precision."""
        return f"{self.name} vllm {self.settings.dtype}"

    @cached_property
    def context_length(self) -> int:
        """Maximum length of prompt plus answer, in tokens."""
        own = loading.context_length(self.path, self.name, trust_remote_code=self.settings.trust_remote_code)
        return min(own, LONGEST)

    def chat(self, text: str) -> Prompt:
        """A user's message in the model's chat format, ready for the answer."""
        return self.chat_format.prompt(text)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """Log-probability of each continuation after its prompt, summed over tokens (natural log)."""
        encoded = [
            loading.encode(self.tokenizer, self.name, prompt, options)
            for prompt, options in zip(prompts, continuations, strict=True)
        ]
        rows = [((*head, *branch), len(head)) for head, branches in encoded for branch in branches]
        # `prompt_logprobs=0`: of the prompt's own tokens; at least one token must be generated
        read = self._ask([ids for ids, _ in rows], max_tokens=1, prompt_logprobs=0)
        sums = iter([
            sum(float(found.prompt_logprobs[at][ids[at]].logprob) for at in range(start, len(ids)))
            for found, (ids, start) in zip(read, rows, strict=True)
        ])  # fmt: skip
        return [[next(sums) for _ in branches] for _, branches in encoded]

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        """Decode greedily up to the end of the turn or of the line; one text per prompt."""
        ids = [tuple(self.tokenizer(p.text, add_special_tokens=p.special_tokens)["input_ids"]) for p in prompts]
        stops = BaseFiles(self.path, self.name).stop_tokens
        if any(not prompt.special_tokens for prompt in prompts) and self.chat_format.end_token is not None:
            stops = (self.chat_format.end_token, *stops)
        answers = self._ask(ids, max_tokens=max_new_tokens, min_tokens=1, logprobs=0, stop_token_ids=list(stops))
        return [self._read(answer.outputs[0]) for answer in answers]

    def _read(self, written: Any) -> Generation:
        """The first line of what was written."""
        tokens = list(written.token_ids)
        count = first_line([self.tokenizer.decode([token], skip_special_tokens=True) for token in tokens])
        total = sum(float(step[token].logprob) for step, token in zip(written.logprobs[:count], tokens, strict=False))
        line, line_end, _ = written.text.lstrip("\n").partition("\n")
        return Generation(line.strip(), count, total, bool(line_end) or written.finish_reason == "stop")

    def _ask(self, ids: Sequence[Sequence[int]], **sampling: Any) -> list[Any]:
        """Outputs of vLLM for prompts given as token ids, in their order; greedy."""
        if not ids:
            return []
        model = self._model
        from vllm import SamplingParams

        prompts = [{"prompt_token_ids": list(row)} for row in ids]
        return list(model.generate(prompts, SamplingParams(temperature=0, **sampling), use_tqdm=False))

    @cached_property
    def _model(self) -> Any:
        """The `LLM` of vLLM, loaded when first needed."""
        try:
            from vllm import LLM
        except ImportError as error:
            raise DependencyError("vllm", extra="vllm", purpose="The engine 'vllm'") from error
        return LLM(
            model=str(self.path),
            dtype=self.settings.dtype,
            trust_remote_code=self.settings.trust_remote_code,
            max_model_len=self.context_length,
            gpu_memory_utilization=SHARE_OF_MEMORY,
            generation_config="vllm",  # the repo's own penalties and sampling are ignored, as elsewhere
        )
