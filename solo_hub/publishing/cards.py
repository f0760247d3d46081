"""Renders the cards: Jinja with `StrictUndefined`, every printed value escaped, the YAML block checked.

The templates (`cards/*.md.jinja`) contain the text; `dataset_card` and `adapter_card` gather the values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import PurePath
from typing import Any

import jinja2

from solo_hub.core.paths import shipped
from solo_hub.evaluation.report.format import HELD_OUT_PARTS, arm_label, metric_value
from solo_hub.publishing import frontmatter, recipe
from solo_hub.publishing.documents import RunDocuments, hub_address, source
from solo_hub.publishing.licences import Licence, Source
from solo_hub.publishing.markdown import (
    Markdown,
    code,
    fenced,
    finish,
    inline,
    link,
    one_line,
    python_literal,
    table,
)
from solo_hub.publishing.naming import is_repo_id
from solo_hub.run.references import EARLIER_STUDENT, is_teacher
from solo_hub.run.resolved import Entry, LocalFile

CITATIONS = """\
@software{solo_hub,
  title = {solo-hub: Solo Distillation for the Hugging Face Hub},
  note = {A language model teaches itself a body of knowledge without labels; version VERSION}
}
@inproceedings{li2025learning,
  title = {Learning with Less: Knowledge Distillation from Large Language Models via Unlabeled Data},
  author = {Li, Juanhui and Nag, Sreyashi and Liu, Hui and Tang, Xianfeng and Sarwar, Sheikh and Cui, Limeng
            and Gu, Hansu and Wang, Suhang and He, Qi and Tang, Jiliang},
  booktitle = {Findings of the Association for Computational Linguistics: NAACL 2025},
  year = {2025},
  eprint = {2411.08028},
  archivePrefix = {arXiv}
}
@misc{xu2024survey,
  title = {A Survey on Knowledge Distillation of Large Language Models},
  author = {Xu, Xiaohan and Li, Ming and Tao, Chongyang and Shen, Tao and Cheng, Reynold and Li, Jinyang and Xu, Can
            and Tao, Dacheng and Zhou, Tianyi},
  year = {2024},
  eprint = {2402.13116},
  archivePrefix = {arXiv}
}"""

_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")


@cache
def _environment() -> jinja2.Environment:
    # HTML escaping is not enough for Markdown: `finish` escapes every printed value that is not Markdown of ours.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(shipped("cards")),
        undefined=jinja2.StrictUndefined,
        finalize=finish,
        autoescape=False,  # noqa: S701 - see above
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": code, "count": count, "python": python_literal}
    return environment


def count(number: int) -> str:
    """A count, with thousands separators."""
    return f"{number:,}"


def render(template: str, front: Mapping[str, Any], kind: str, context: Mapping[str, Any]) -> str:
    """Render a card.

    Args:
        template: File name in `cards/`.
        front: Entries of the YAML block.
        kind: `model` or `dataset`.
        context: Values of the template.

    Raises:
        ValueError: The YAML has a key the Hub does not know.
        jinja2.UndefinedError: The template uses a name the context lacks.
    """
    body = _environment().get_template(template).render(context)
    # template conditions leave blank lines; data blocks have no consecutive ones (`fenced`)
    body = re.sub(r"[ \t]+\n", "\n", re.sub(r"\n{3,}", "\n\n", body)).strip("\n")
    return frontmatter.write(front, kind) + "\n" + body + "\n"


def repo_link(repo_id: str, kind: str, revision: str | None, endpoint: str | None) -> Markdown:
    """Link to a repo, at a commit or tag if given; an invalid repo id is shown without a link."""
    if not is_repo_id(repo_id):
        return code(repo_id)
    prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}[kind]
    tail = f"/tree/{revision}" if revision else ""
    return link(repo_id, f"{hub_address(endpoint)}/{prefix}{repo_id}{tail}")


def entry_link(entry: Entry, endpoint: str | None) -> Markdown:
    """A link to a source at the commit that was used, or the name of a file or folder."""
    if isinstance(entry, LocalFile):
        return Markdown(f"the {'file' if PurePath(entry.name).suffix else 'folder'} {code(entry.name)}")
    return repo_link(entry.repo_id, entry.type, entry.commit, endpoint)


def teachers(documents: RunDocuments) -> Markdown | None:
    """Who taught, with links, if not the base itself."""
    endpoint = documents.resolved.endpoint
    entries = {name: documents.repo(name) for name in documents.teachers}
    shown = [entry_link(entry, endpoint) if entry else code(name) for name, entry in entries.items()]
    return Markdown(", ".join(shown[:-1]) + (" and " if shown[1:] else "") + shown[-1]) if shown else None


def shared(documents: RunDocuments, licence: Licence) -> dict[str, Any]:
    """What the cards of a run's dataset and of its adapter both say."""
    endpoint, version = documents.resolved.endpoint, str(documents.resolved.solo_hub or "unknown")

    def linked(role: str) -> Markdown | None:
        entry = documents.repo(role)
        return entry_link(entry, endpoint) if entry else None

    return {
        "subject": documents.subject,
        "base_link": entry_link(documents.base, endpoint),
        "questions": linked("questions"),
        "knowledge": linked("knowledge"),
        "imported": linked("labels"),
        "embedder": linked("embedder"),
        "earlier": linked(EARLIER_STUDENT),
        "served": recipe.served(documents.resolved),
        "teachers": teachers(documents),
        "several": len(documents.teachers) > 1,
        "curation": curation(documents),
        "licence": licence,
        "licence_sources": licence_table(licence),
        "citations": citations(version),
    }


ROLES = {
    "base": "base model",
    "questions": "questions, unlabelled",
    "evaluation_questions": "held-out questions",
    "knowledge": "knowledge base",
    "embedder": "embedder of the retriever",
    "labels": "imported labels",
    "bert_score_model": "BERTScore model",
    "general_text": "general text, for perplexity",
    "second_task": "second task, not trained on",
}


def origins_table(entries: Iterable[tuple[str, Entry]], endpoint: str | None) -> Markdown:
    """Everything that was pulled, as (role, repo or file), at its exact commit, with its licence."""
    entries = list(entries)
    looks_up = any(role == "knowledge" for role, _ in entries)
    names = ROLES if looks_up else {**ROLES, "embedder": "embedder of the report's map"}
    rows = []
    for role, entry in entries:
        place, pinned = entry_link(entry, endpoint), entry.commit or f"sha256 {entry.fingerprint}"
        if entry.commit and entry.made_from:
            place = Markdown(f"{place}, published from the file or folder {code(entry.made_from.name)}")
        name = "teacher" if is_teacher(role) else names.get(role, role)
        rows.append((name, place, code(pinned), _licences(source(role, entry, endpoint))))
    return table(("Role", "Source", "Commit", "Licence"), rows, align="llll")


def _licences(source: Source) -> Markdown:
    """The licence stated by a source's card; a custom licence with its name and link."""
    if not source.licences:
        return Markdown("not stated")
    stated = inline(", ".join(source.licences))
    if not source.terms and not source.link:
        return stated
    name = source.terms or "terms"
    return Markdown(f"{stated}: {link(name, source.link) if source.link else inline(name)}")


def licence_table(licence: Licence) -> Markdown:
    """The sources a licence was derived from."""

    def row(source: Source) -> tuple[str, str, Markdown]:
        role = "teacher" if is_teacher(source.role) else ROLES.get(source.role, source.role)
        return role, code(source.name), _licences(source)

    return table(("Source", "Name", "Licence"), [row(source) for source in licence.sources], align="lll")


def citations(version: str) -> Markdown:
    """BibTeX of the method's sources."""
    return fenced(CITATIONS.replace("VERSION", one_line(version)), "bibtex")


def licence_entries(licence: Licence) -> dict[str, Any]:
    """The licence as a card's YAML states it."""
    named = licence.id == "other"
    elsewhere = (licence.link or "").startswith("https://")  # the Hub takes an address, or this file
    return {
        "license": licence.id,
        "license_name": licence.name if named else None,
        "license_link": (licence.link if elsewhere else "LICENSE.md") if named else None,
    }


def licence_file(licence: Licence, what: str) -> str:
    """Text of `LICENSE.md`, which the Hub asks for where the licence has no identifier."""
    return f"# Licence of this {what}\n\n{inline(licence.reason)}\n\n{licence_table(licence)}\n"


def languages(entries: Iterable[Entry | None], base: Entry | None = None) -> list[str]:
    """Languages that the sources' cards state, as far as the Hub takes them: it refuses a card with another one.

    Args:
        entries: Questions, documents, labels.
        base: The base model, whose languages count where the data state none.
    """
    stated = {language for entry in entries if entry for language in entry.language}
    stated = stated or set(base.language if base else ())
    return sorted(language for language in stated if _LANGUAGE.fullmatch(language))


def curation(documents: RunDocuments) -> dict[str, Any] | None:
    """What the cards say of questions written from the documents; None where all are the user's.

    Returns:
        `written` (questions learnt), `all` (whether there are no others), `writers` (names), `checked` (whether the
        teacher was asked too), `curated` (rows of the configuration), `asked` and `documents` (documents asked about,
        of all), `unseen` and `studied` (held-out questions).
    """
    if not documents.curated:
        return None
    found = documents.report.get("curation") or {}
    covered = found.get("coverage") or {}
    return {
        "written": documents.written,
        "all": documents.written == len(documents.questions),
        "writers": sorted({row.writer for row in documents.curated}),
        "checked": documents.settings.curation.check == "teacher",
        "curated": len(documents.curated),
        "asked": int(covered.get("asked") or 0),
        "documents": int(covered.get("documents") or 0),
        "unseen": int(found.get("unseen") or 0),
        "studied": int(found.get("studied") or 0),
        "table": _held_out_table(found.get("arms") or {}),
    }


def _held_out_table(arms: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Markdown | None:
    """Accuracy on either part of the held-out questions, an arm a column; None where there are none."""
    rows = [
        (title, *(metric_value("accuracy", parts.get(part)) for parts in arms.values()))
        for part, title in HELD_OUT_PARTS.items()
    ]
    return table(("Held-out questions", *map(arm_label, arms)), rows) if arms else None
