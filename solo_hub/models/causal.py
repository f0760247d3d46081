"""A causal language model in this process with transformers: scores options, generates answers, has the adapter."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from solo_hub.core.plugins import Generation, Prompt
from solo_hub.models import attention, base_files, loading
from solo_hub.models.base_files import BaseFiles
from solo_hub.models.chat import ChatFormat
from solo_hub.models.in_process import InProcess
from solo_hub.models.packing import ROW, Layout, Tree, branches_alone, cut, even_row, plan, spread
from solo_hub.models.writing import greedy_log_probabilities, line_end_of

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

# Rows of 256 tokens per forward pass: bounds memory and, on a CPU, the number of matrix shapes. A GPU would wait for
# Python between passes of 2,000 tokens.
ROWS_AT_ONCE, ROWS_AT_ONCE_ON_CPU = 32, 8
TOKENS_A_ROW = 2048  # where attention keeps to its tree a row is a whole forward pass
TOKENS_AT_ONCE = 512  # scored tokens with full-vocabulary logits in memory at once
# Nats between an answer scored packed and unpacked. On six questions with SmolLM2-135M rounding gave up to 0.0005 in
# float32, 0.31 in bfloat16, 0.58 in 4 bits; a wrong mask or wrong positions differ by several nats.
SELF_CHECK_TOLERANCE = {"float32": 0.05, loading.NF4: 1.5}
IN_HALF_PRECISION = 0.5


class CausalEngine(InProcess):
    """Fits `plugins.Engine`.

    Decoding is greedy, or samples from the model's own distribution: penalties, sampling settings and suppressed tokens
    of the repo's `generation_config.json` are ignored (`own_generation` has them).

    Args:
        path: Local snapshot of a model repo with safetensors weights and a tokenizer.
        identity: Repo and commit, for keys and reports.
        device: `auto`, `cpu`, `cuda`, `mps`, ...
        dtype: `auto` (bfloat16 if the hardware supports it, else float32), `float32`, `bfloat16`, `nf4` (4 bits, with
            bitsandbytes).
        trust_remote_code: Run code from the repo.

    Raises:
        DependencyError: `nf4`, and bitsandbytes is not installed.
        ModelError: See `loading`.
    """

    base_files: ClassVar[type[BaseFiles]] = BaseFiles
    """Checks the base's tokenizer, chat template and generation settings."""
    chat_day: dt.date | None = None
    """The date for a chat template that prints one; today when None. Set before the first prompt."""

    def __init__(
        self, path: Path, identity: str, *, device: str = "auto", dtype: str = "auto", trust_remote_code: bool = False
    ) -> None:
        super().__init__(path, identity, device=device, precision=dtype, trust_remote_code=trust_remote_code)
        self.reload()
        self._packed: bool | None = None
        self._scores_after: bool | None = None
        self._window = loading.window(self.model.config.get_text_config())

    @property
    def identity(self) -> str:
        """Model and commit, engine, device type, precision."""
        return f"{self.name} transformers {self.device.split(':')[0]} {self.precision_key}"

    @property
    def context_length(self) -> int:
        """Maximum length of prompt plus answer, in tokens."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 2048))

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """Ids of the tokens that end a turn.

        Raises:
            ModelError: The model has none, so its answers would never end.
        """
        tokens = self._configured_stops()
        if not tokens:
            raise base_files.no_end(self.name)
        return tokens

    def ends(self, *, chat: bool) -> tuple[int, ...]:
        """Ids of the tokens that end an answer; the first is the one to train on.

        Configurations list several, often the end of document first (Llama 3, Gemma). In a chat the right one is what
        the template writes after an assistant's turn.

        Args:
            chat: Whether the prompt is in the chat format rather than plain text.

        Raises:
            ModelError: The model has none, so its answers would never end.
        """
        token = self.chat_format.end_token if chat else None
        return self.stop_tokens if token is None else tuple(dict.fromkeys((token, *self._configured_stops())))

    def _configured_stops(self) -> tuple[int, ...]:
        configured = self.own_generation.eos_token_id
        if configured is None:
            configured = self.tokenizer.eos_token_id
        return base_files.as_ids(configured)

    def _load(self, precision: str) -> Any:
        from transformers import GenerationConfig

        dtype = loading.find_dtype(precision, self.device)
        if precision == loading.NF4:
            model = loading.load_quantised(self.path, self.name, dtype, self.device, trust_remote_code=self._trusted)
        else:
            model = loading.load_model(self.path, self.name, dtype, trust_remote_code=self._trusted)
        base_files.check_rows(self.tokenizer, self.name, model.get_input_embeddings().num_embeddings)
        self.own_generation = model.generation_config
        # `generate` takes defaults from the model's own settings, which must therefore contain nothing but token ids
        if self.device == "cpu":
            attention.install(model)
        tokens = {name: getattr(self.own_generation, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        model.generation_config = GenerationConfig(**{f"{name}_token_id": token for name, token in tokens.items()})
        return model

    # -- tokens ------------------------------------------------------------------------------------------------------

    def chat(self, text: str) -> Prompt:
        """A user's message in the model's chat format, ready for the answer.

        Raises:
            ModelError: See `ChatFormat.prompt`.
        """
        return self.chat_format.prompt(text)

    @cached_property
    def chat_format(self) -> ChatFormat:
        """The model's chat template."""
        return ChatFormat(self.tokenizer, self.name, self.chat_day)

    def encode(self, prompt: Prompt, continuations: Sequence[str]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
        """Token ids of a prompt and of each continuation, as in contiguous text; see `loading.encode`."""
        return loading.encode(self.tokenizer, self.name, prompt, continuations)

    # -- scoring -----------------------------------------------------------------------------------------------------

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """Log-probability of each continuation after its prompt, summed over tokens (natural log)."""
        trees = self._trees(prompts, continuations)
        return self._per_tree(trees, self._score_trees(trees, packed=self.packs(trees)))

    def score_and_generate(
        self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]], max_new_tokens: int
    ) -> tuple[list[list[float] | None], list[Generation]]:
        """What `score` and `generate` return; each prompt is read once, if the model can score what follows it.

        Reading is most of the work: `benchmarks/one_reading.py`.
        """
        trees = self._trees(prompts, continuations)
        if not trees or not self._resumes(trees):
            return self.score(prompts, continuations), self.generate(prompts, max_new_tokens)
        written, read = self._write(prompts, max_new_tokens)
        return self._per_tree(trees, self._score_after(trees, *read)), written

    def _trees(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[Tree]:
        encoded = (self.encode(prompt, options) for prompt, options in zip(prompts, continuations, strict=True))
        return [Tree(head, tuple(branches)) for head, branches in encoded]

    @staticmethod
    def _per_tree(trees: Sequence[Tree], sums: np.ndarray[Any, np.dtype[np.float64]]) -> list[list[float] | None]:
        scores: list[list[float] | None] = []
        at = 0
        for tree in trees:
            scores.append([float(value) for value in sums[at : at + len(tree.branches)]])
            at += len(tree.branches)
        return scores

    def _score_trees(self, trees: Sequence[Tree], *, packed: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
        sums = np.zeros(sum(len(tree.branches) for tree in trees), dtype=np.float64)
        for layout in self._lay_out(trees, packed=packed):
            np.add.at(sums, layout.owner, self._token_log_probabilities(layout, packed=packed))
        return sums

    def _score_after(
        self, trees: Sequence[Tree], cache: Any, mask: torch.Tensor
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Score the branches of prompts that were read, one a row with padding on the left.

        Args:
            trees: The prompts and their branches.
            cache: Keys and values of the prompts, and of what was written after them.
            mask: `(R, L)` what is no padding of the prompts.
        """
        torch = self._torch
        length = mask.shape[1] - 1  # the last token of a prompt is read again: what it predicts is wanted
        cache.crop(length - cache.get_seq_length())
        layout = branches_alone(trees, pad_token=self.tokenizer.pad_token_id or 0)
        own = torch.from_numpy(layout.mask()).to(self.device)  # (R, 1, N, N)
        before = mask[:, None, None, :length].bool().expand(-1, 1, own.shape[2], -1)
        sums = np.zeros(layout.branches, dtype=np.float64)
        with torch.inference_mode():
            pieces = self.distributions(
                layout,
                packed=True,
                attention_mask=torch.cat([before, own], dim=3),
                past_key_values=cache,
                use_cache=True,
            )
            picked = [distribution.gather(1, wanted[:, None])[:, 0] for distribution, wanted in pieces]
            np.add.at(sums, layout.owner, torch.cat(picked).cpu().numpy())
        return sums

    def _resumes(self, trees: Sequence[Tree]) -> bool:
        """Whether the model scores rightly what follows a prompt that it read; tested once, on a real example."""
        if not self.packs(trees) or self._window is not None:
            return False
        if self._scores_after is None:
            self._scores_after = self._check_resuming(trees[0])
        return self._scores_after

    def _check_resuming(self, tree: Tree) -> bool:
        trees = [cut(tree, 96), cut(tree, 32)]
        plain = self._score_trees(trees, packed=True)
        try:
            found = self._score_after(trees, *self._read_prompts([list(each.prompt) for each in trees]))
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            log.info("prompts are read twice by %s: %s", self.name, error)
            return False
        return self._agree(found, plain, "after a prompt that was read")

    def _lay_out(self, trees: Sequence[Tree], *, packed: bool, row: int = ROW) -> list[Layout]:
        pad = self.tokenizer.pad_token_id or 0
        if not packed:
            return spread(trees, pad_token=pad)
        if self._by_tree:
            return plan(trees, row=even_row(trees, TOKENS_A_ROW), most=1, pad_token=pad)
        return plan(trees, row=row, most=ROWS_AT_ONCE_ON_CPU if self.device == "cpu" else ROWS_AT_ONCE, pad_token=pad)

    def _token_log_probabilities(self, layout: Layout, *, packed: bool) -> np.ndarray[Any, np.dtype[np.float32]]:
        with self._torch.inference_mode():
            return self.token_log_probabilities(layout, packed=packed).cpu().numpy()  # type: ignore[no-any-return, unused-ignore]

    def token_log_probabilities(self, layout: Layout, *, packed: bool) -> torch.Tensor:
        """Log-probability of every scored token, `(T,)` float32; logits are computed only where needed.

        Gradients flow if the caller has enabled them: training and scoring use the same code.
        """
        picked = [
            distribution.gather(1, wanted[:, None])[:, 0]
            for distribution, wanted in self.distributions(layout, packed=packed)
        ]
        return self._torch.cat(picked)

    def distributions(
        self, layout: Layout, *, packed: bool, **after: Any
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Log-probabilities over the vocabulary at the scored tokens, with the ids of those tokens.

        Args:
            layout: The rows.
            packed: Whether trees share rows.
            after: What the model is told of tokens before these rows, and the mask for both.

        Yields:
            Pieces of the layout's T scored tokens, in order: `(t, vocabulary)` float32 and `(t,)`.
        """
        torch = self._torch
        inputs = {"input_ids": torch.from_numpy(layout.tokens).to(self.device), "use_cache": False}
        if packed:
            inputs["position_ids"] = torch.from_numpy(layout.positions).to(self.device)
            inputs |= after or {"attention_mask": torch.from_numpy(layout.mask()).to(self.device)}
            if self._by_tree and not after:
                inputs["trees"] = attention.Trees(layout)
        else:
            inputs["attention_mask"] = torch.from_numpy((layout.tree >= 0).astype(np.int64)).to(self.device)
        rows, columns = torch.from_numpy(layout.source).to(self.device).unbind(dim=1)
        target = torch.from_numpy(layout.target).to(self.device)
        if packed:
            backbone, head = self._parts()
            hidden = backbone(**inputs).last_hidden_state[rows, columns]  # (T, width)
            chunks = (head(piece) for piece in hidden.split(TOKENS_AT_ONCE))
        else:
            chunks = iter(self.model(**inputs).logits[rows, columns].split(TOKENS_AT_ONCE))
        for logits, wanted in zip(chunks, target.split(TOKENS_AT_ONCE), strict=True):
            yield torch.log_softmax(logits.float(), dim=-1), wanted

    def branch_log_probabilities(self, trees: Sequence[Tree]) -> torch.Tensor:
        """Log-probability of every branch of every tree, summed over its tokens, `(branches,)`; gradients flow."""
        torch = self._torch
        packed = self.packs(trees)
        sums = torch.zeros(sum(len(tree.branches) for tree in trees), device=self.device)
        for layout in self.layouts(trees):
            owner = torch.from_numpy(layout.owner).to(self.device)
            sums = sums.index_add(0, owner, self.token_log_probabilities(layout, packed=packed))
        return sums

    def layouts(self, trees: Sequence[Tree]) -> list[Layout]:
        """Lay out a training batch for `token_log_probabilities`, packed if this model supports it.

        A batch is small, and rows of the length used for scoring would be half empty, so the row length is fitted.
        """
        packed = self.packs(trees)
        return self._lay_out(trees, packed=packed, row=even_row(trees) if packed else ROW)

    def packs(self, trees: Sequence[Tree] = ()) -> bool:
        """Whether these trees may be packed for this model; support is tested once, on a real example."""
        if self._packed is None and trees:
            self._packed = self._check_packing(trees[0])
        return bool(self._packed) and self._in_window(trees)

    def _in_window(self, trees: Sequence[Tree]) -> bool:
        """Whether all sequences fit the model's sliding window, which the packed mask does not implement."""
        if self._window is None:
            return True
        return all(len(tree.prompt) + max(map(len, tree.branches)) <= self._window for tree in trees)

    @property
    def _by_tree(self) -> bool:
        """Whether attention keeps to its tree, so that rows may be long."""
        return self.device == "cpu" and attention.installed(self.model)

    def _parts(self) -> tuple[Any, Any]:
        """The transformer without its head, and the head, both with their adapters: peft replaces modules in place."""
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return getattr(model, model.base_model_prefix), model.get_output_embeddings()

    def _check_packing(self, tree: Tree) -> bool:
        """Whether packing works for this model: compare with one option per row on a real example.

        Recurrent layers, sliding windows, soft-capped logits and the like make packing wrong for some models; those are
        scored unpacked, which is slower but correct.
        """
        tree = cut(tree, 96)
        try:
            shared = self._score_trees([tree, tree], packed=True)[len(tree.branches) :]
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            log.info("packed scoring is not possible for %s: %s", self.name, error)
            return False
        return self._agree(shared, self._score_trees([tree], packed=False), "packed")

    def _agree(self, scores: Any, plain: Any, how: str) -> bool:
        difference = float(np.max(np.abs(scores - plain)))
        if np.isfinite(difference) and difference <= SELF_CHECK_TOLERANCE.get(self.precision, IN_HALF_PRECISION):
            return True
        log.info("scores %s differ by %.3f nats for %s: not used", how, difference, self.name)
        return False

    # -- writing -----------------------------------------------------------------------------------------------------

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        """Decode greedily up to the end of the turn or of the line; one text per prompt."""
        return self._write(prompts, max_new_tokens)[0] if prompts else []

    def sample(self, prompts: Sequence[Prompt], max_new_tokens: int, *, seed: int) -> list[Generation]:
        """Like `generate`, but sampled from the model's distribution; without log-probabilities.

        Deterministic for the same prompts, order and seed.
        """
        if not prompts:
            return []
        with self._torch.random.fork_rng():
            self._torch.manual_seed(seed)
            return [
                dataclasses.replace(written, log_probability=None)
                for written in self._write(prompts, max_new_tokens, do_sample=True, top_k=0)[0]
            ]

    def _rows(self, ids: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts with padding on the left, `(R, L)`, and a mask of what is none."""
        width = -(-max(map(len, ids)) // 16) * 16
        tokens = self._torch.full((len(ids), width), pad, dtype=self._torch.long)
        mask = self._torch.zeros_like(tokens)
        for row, sequence in enumerate(ids):
            tokens[row, width - len(sequence) :] = self._torch.tensor(sequence)
            mask[row, width - len(sequence) :] = 1
        return tokens.to(self.device), mask.to(self.device)

    def _read_prompts(self, ids: Sequence[Sequence[int]]) -> tuple[Any, torch.Tensor]:
        """Keys and values of prompts, and the mask of their rows."""
        tokens, mask = self._rows(ids, self.tokenizer.pad_token_id or 0)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        backbone, _ = self._parts()
        with self._torch.inference_mode():
            read = backbone(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=True)
        return read.past_key_values, mask

    def _write(
        self, prompts: Sequence[Prompt], max_new_tokens: int, **how: Any
    ) -> tuple[list[Generation], tuple[Any, torch.Tensor]]:
        """What the model writes after each prompt, and what it read: keys and values, and the mask of the prompts."""
        torch = self._torch
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        ids = [self.tokenizer(p.text, add_special_tokens=p.special_tokens)["input_ids"] for p in prompts]
        stops = self.ends(chat=not any(prompt.special_tokens for prompt in prompts))
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else stops[0]
        tokens, mask = self._rows(ids, pad)
        width = tokens.shape[1]
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            min_new_tokens=1,  # a base model may end its turn immediately; an empty answer is useless
            num_beams=1,
            return_dict_in_generate=True,
            **{"do_sample": False, **how},
            eos_token_id=list(stops),
            pad_token_id=pad,
        )
        line_end, recorded = line_end_of(self.tokenizer, width), greedy_log_probabilities()
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=tokens,
                attention_mask=mask,
                generation_config=config,
                stopping_criteria=StoppingCriteriaList([line_end]),
                logits_processor=LogitsProcessorList([recorded]),
            )
        steps = torch.stack(recorded.steps, dim=1).tolist()  # (B, tokens)
        written = [
            self._read(row.tolist()[: line_end.lengths.get(number)], steps[number], stops)
            for number, row in enumerate(output.sequences[:, width:])
        ]
        return written, (output.past_key_values, mask)

    def _read(self, tokens: list[int], log_probabilities: list[float], stops: Sequence[int]) -> Generation:
        """The generation in a row, up to the end of its line or turn; the rest is padding."""
        ends = [place for place, token in enumerate(tokens) if token in stops]
        kept = tokens[: ends[0]] if ends else tokens
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        line, line_end, _ = text.lstrip("\n").partition("\n")
        count = len(kept) + bool(ends)
        total = sum(log_probabilities[:count])
        return Generation(line.strip(), count, total, finished=bool(ends) or bool(line_end))
