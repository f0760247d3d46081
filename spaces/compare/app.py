"""The Space that compares base, teacher and student: wiring only, the logic lives in `solo_hub.evaluation.comparison`.

On the Hub it is started by `python app.py`, with `compare.json` beside it; `solo-hub compare` calls `serve` with a
comparison of its own. On ZeroGPU the package `spaces` must be imported before torch is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # only the Hub is contacted

try:
    import spaces

    # a folder named `spaces` on the path would be imported as a package too
    on_gpu: Callable[..., Any] | None = getattr(spaces, "GPU", None)
except ImportError:
    on_gpu = None

import gradio as gr

from solo_hub.core.errors import SoloHubError
from solo_hub.evaluation.comparison import pages
from solo_hub.evaluation.comparison.asking import Comparison, read_question
from solo_hub.evaluation.comparison.cases import groups
from solo_hub.evaluation.comparison.opening import open_space

HERE = Path(__file__).resolve().parent
PAGE = 10  # questions of the evaluation shown at once
GPU_SECONDS = 120  # the first question on ZeroGPU may have to index the knowledge base

# Element attributes that gradio has no arguments for: screen readers announce changes once they are complete.
LIVE = "element.setAttribute('role', 'status'); element.setAttribute('aria-live', 'polite')"
# gradio's own dropdown stays open over the page when Tab leaves it
PICK = "element.addEventListener('change', (event) => { props.value = event.target.value; })"
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
HEAD = "<meta name='viewport' content='width=device-width, initial-scale=1'>"


def build(comparison: Comparison) -> gr.Blocks:
    """The page of a comparison."""
    arms = comparison.arms
    with gr.Blocks(title=pages.title(arms), analytics_enabled=False) as demo:
        head = pages.heading(comparison.origin, comparison.report, arms=arms, reads=comparison.reads)
        gr.HTML(head, elem_classes="heading")
        gr.HTML(pages.accuracy(comparison.report))
        with gr.Tab("Ask"):
            _ask_tab(comparison)
        with gr.Tab("Wins and losses"):
            _cases_tab(comparison)
    return demo


def _ask_tab(comparison: Comparison) -> None:
    """Pick or type a question; the answers arrive one after the other."""
    arms = comparison.arms

    def page(given: list[Any], question: Any, gold: Any) -> tuple[str, str]:
        return pages.status(given, question, arms=arms), pages.columns(question, given, gold, arms=arms)

    def answers(text: str, options: str) -> Iterator[tuple[str, str]]:
        given: list[Any] = []
        try:
            question = read_question(text, options)
            case = comparison.known(question)
            gold = case.gold if case else None
            yield page(given, question, gold)
            for answer in comparison.answer(question):
                given.append(answer)
                yield page(given, question, gold)
        except SoloHubError as error:
            yield "", pages.problem(str(error))

    def pick(question_id: str | None) -> tuple[str, str]:
        case = comparison.find(question_id) if question_id else None
        return (case.question.text, "\n".join(case.question.options)) if case else ("", "")

    with gr.Row(equal_height=False):
        with gr.Column(scale=3):
            picked = gr.HTML(
                "",
                html_template=pages.picker(comparison.cases),
                js_on_load=PICK,
                visible=bool(comparison.cases),
                elem_id="pick",
            )
            text = gr.Textbox(label="Or type a question", lines=2, elem_id="question")
        with gr.Column(scale=2):
            options = gr.Textbox(
                label="Options, one per line (leave empty for a free-text answer)", lines=5, elem_id="options"
            )
    button = gr.Button("Ask all three" if "teacher" in arms else "Ask both", variant="primary", elem_id="ask")
    status = gr.HTML("", elem_id="status", js_on_load=LIVE)
    shown = gr.HTML("", elem_id="answers")
    picked.change(pick, [picked], [text, options], **QUIET)
    # one question at a time: there is one model, with its adapter on or off
    ask = on_gpu(duration=GPU_SECONDS)(answers) if on_gpu else answers
    button.click(ask, [text, options], [status, shown], concurrency_limit=1, **QUIET)


def _cases_tab(comparison: Comparison) -> None:
    """Browse the evaluation, grouped by which arms were right."""
    answered = [case for case in comparison.cases if case.predictions]
    if not answered:
        gr.HTML(pages.note("This repo does not contain the answers of the evaluation; the run folder does."))
        return
    kinds = groups(comparison.arms)
    members = {name: [case for case in answered if belongs(case)] for name, (_, belongs) in kinds.items()}

    def browse(group: str, start: int) -> tuple[str, int, dict[str, Any], dict[str, Any]]:
        cases = members[group]
        start = max(0, min(int(start), (len(cases) - 1) // PAGE * PAGE))
        page = pages.cases(
            cases[start : start + PAGE], start, kinds[group][0], shown=len(cases), total=comparison.total
        )
        more = start + PAGE < len(cases)
        return page, start, gr.update(interactive=start > 0), gr.update(interactive=more)

    group = gr.Radio(
        [(f"{title} ({len(members[name])})", name) for name, (title, _) in kinds.items()],
        value="won",
        label="Show questions",
        elem_id="group",
    )
    page, start, back, on = browse("won", 0)
    place = gr.State(start)
    listed = gr.HTML(page, elem_id="cases")
    with gr.Row():
        earlier = gr.Button("Previous questions", interactive=back["interactive"], elem_id="earlier")
        later = gr.Button("Next questions", interactive=on["interactive"], elem_id="later")
    outputs = [listed, place, earlier, later]
    group.change(lambda name: browse(name, 0), [group], outputs, **QUIET)
    earlier.click(lambda name, at: browse(name, at - PAGE), [group, place], outputs, **QUIET)
    later.click(lambda name, at: browse(name, at + PAGE), [group, place], outputs, **QUIET)


def serve(comparison: Comparison, **options: Any) -> Any:
    """Launch the page; `options` go to gradio's `launch`, whose own server name is loopback."""
    # system fonts: the default theme downloads others
    theme = gr.themes.Default(
        primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    demo = build(comparison)
    demo.queue(default_concurrency_limit=2)
    return demo.launch(
        theme=theme,
        css_paths=HERE / "style.css",
        head=HEAD,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        ssr_mode=False,
        share=False,
        quiet=True,
        **options,
    )


if __name__ == "__main__":
    from solo_hub.core.console import Console

    try:
        opened = open_space(HERE, Console("human"))
        opened.prepare(knowledge=on_gpu is None)
    except SoloHubError as error:
        raise SystemExit(f"Error: {error}") from None
    serve(opened)
