"""A base model's chat template: rendered for a fixed date, without a thinking block, and analysed for its end of turn.

The template is part of the model repo. It may print today's date, open a thinking block before the answer, or end a
turn with a token other than the first in the configuration; each would silently change prompts or training targets.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from solo_hub.core.errors import ModelError
from solo_hub.core.plugins import Prompt
from solo_hub.core.redaction import first_line_scrubbed

QUESTION, ANSWER = "Which tree bears acorns?", "Oaktree."
"""A user and an assistant turn for probing templates."""
SWITCHES = ("enable_thinking", "thinking")
"""Template variables that disable thinking."""
CLOCK = "strftime_now"
"""The function that transformers provides to templates for the current date."""
DIRECTIVES = (
    *(f"%-{letter}" for letter in "dmyjHIMS"),  # without a leading 0
    *(f"%{letter}" for letter in "aAbBcdDeFGhHIjmMpRSTuUVwWxXyYzZ"),
)
"""Directives of `strftime`."""
DAYS = (dt.date(2001, 2, 3), dt.date(2002, 11, 28))
"""Two days that differ in year, month, day and weekday."""

_THINKING = re.compile(
    r"[<\[◁]\|?(?P<close>/|end_?(?:of_)?)?(?:\w+:|begin_?(?:of_)?|start_?(?:of_)?)?"
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratch_?pad)\|?[>\]▷]"
    r"|<\|channel\|>(?:analysis|(?P<final>final))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ChatFormat:
    """Renders a model's chat template.

    Attributes:
        tokenizer: The model's tokenizer.
        identity: Repo and commit, for messages.
        day: The date for a template that prints one; today when None.
    """

    tokenizer: Any
    identity: str
    day: dt.date | None = None

    def prompt(self, text: str) -> Prompt:
        """A user's message in the model's chat format, ready for the answer.

        Raises:
            ModelError: There is no chat template, it cannot be rendered, or it opens a thinking block that cannot be
                disabled.
        """
        if self.opens_thinking:
            raise ModelError(
                f"The chat template of the base model {self.identity} opens a thinking block before every answer and "
                "does not support enable_thinking=false: scoring and training would happen inside that block.",
                hint="Set teacher.prompt=plain, or choose a base that answers without thinking.",
            )
        return Prompt(self.fill([_user(text)]) + self._opening, special_tokens=False)

    def fill(self, turns: Sequence[Mapping[str, str]]) -> str:
        """Turns in the model's chat format, with the generation prompt if the last turn is the user's.

        Raises:
            ModelError: The template is missing, invalid, raises an error, or violates the sandbox.
        """
        return self._fill(turns, self.day, self.variables)

    @cached_property
    def has_template(self) -> bool:
        """Whether the model has a chat template."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    @cached_property
    def variables(self) -> dict[str, bool]:
        """Template variables that disable thinking; empty if the template has none."""
        plain = self._fill([_user(QUESTION)], DAYS[0], {})
        known = (name for name in SWITCHES if name in str(self.tokenizer.chat_template))
        return next(({n: False} for n in known if self._fill([_user(QUESTION)], DAYS[0], {n: False}) != plain), {})

    @cached_property
    def is_dated(self) -> bool:
        """Whether the template prints the date."""
        if CLOCK not in str(self.tokenizer.chat_template):
            return False
        first, second = (self._fill([_user(QUESTION)], day, self.variables) for day in DAYS)
        return first != second

    @cached_property
    def opens_thinking(self) -> bool:
        """Whether an answer would start inside an open thinking block."""
        return _is_open(self.fill([_user(QUESTION)]) + self._opening)

    @cached_property
    def server_opens_thinking(self) -> bool:
        """The same for a server that receives messages and renders the template itself."""
        return _is_open(self.fill([_user(QUESTION)]))

    @cached_property
    def ending(self) -> str:
        """The text that the template writes after an assistant's turn; may be empty."""
        _, answer, behind = self._turn.rpartition(ANSWER)
        return behind.strip() if answer else ""

    @cached_property
    def end_token(self) -> int | None:
        """Id of the token that the template writes after an assistant's turn; None if it is ordinary text."""
        ids = self.tokenizer(self.ending, add_special_tokens=False)["input_ids"] if self.ending else []
        known = getattr(self.tokenizer, "added_tokens_decoder", {})
        return int(ids[0]) if ids and ids[0] in known else None

    @cached_property
    def key(self) -> str:
        """Cache key for what prompts depend on besides the base's commit; empty for most templates."""
        unswitched = self._fill([_user(QUESTION)], DAYS[0], {})
        switched = self._fill([_user(QUESTION)], DAYS[0], self.variables) + self._opening
        if not self.is_dated and unswitched == switched:
            return ""
        return self.prompt(QUESTION).text

    @cached_property
    def _turn(self) -> str:
        return self.fill([_user(QUESTION), {"role": "assistant", "content": ANSWER}])

    @cached_property
    def _opening(self) -> str:
        """What the template writes between generation prompt and assistant text, e.g. an empty thinking block."""
        prompt, before = self.fill([_user(QUESTION)]), self._turn.rpartition(ANSWER)[0]
        rest = before.removeprefix(prompt) if before.startswith(prompt) else ""
        return rest if rest.strip() else ""

    def _fill(self, turns: Sequence[Mapping[str, str]], day: dt.date | None, variables: Mapping[str, bool]) -> str:
        from jinja2 import TemplateError

        if not self.has_template:
            raise ModelError(f"The base model {self.identity} has no chat template.", hint="Set teacher.prompt=plain.")
        given: dict[str, Any] = dict(variables)
        try:
            if day is not None and CLOCK in str(self.tokenizer.chat_template):
                given["chat_template"] = stopped_clock(day) + self.tokenizer.get_chat_template()
            filled = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=turns[-1]["role"] == "user", **given
            )
        except (TemplateError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
            raise ModelError(
                f"The chat template of the base model {self.identity} cannot be rendered: "
                f"{first_line_scrubbed(error).rstrip('.')}.",
                hint="Set teacher.prompt=plain, or choose another base.",
            ) from error
        return str(filled)


def stopped_clock(day: dt.date) -> str:
    """A prefix for chat templates that fixes the date they read; it renders to nothing.

    transformers passes only data to templates, so the function cannot be overridden: a macro with its name shadows it.
    """
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    spelt = "".join(f".replace('{directive}', '{noon.strftime(directive)}')" for directive in DIRECTIVES)
    # the empty expression keeps a newline at the start of the template, which the end of a block would remove
    return f"{{% macro {CLOCK}(format) %}}{{{{ format{spelt} }}}}{{% endmacro %}}{{{{ '' }}}}"


def _is_open(prompt: str) -> bool:
    tags = list(_THINKING.finditer(prompt.rpartition(QUESTION)[2]))
    return bool(tags) and not (tags[-1]["close"] or tags[-1]["final"])


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
