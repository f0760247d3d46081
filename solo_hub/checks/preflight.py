"""Pre-flight: what would stop a run, found before it begins. Nothing is pushed, no run folder is made.

Small files (tokenizer, questions, corpus) are pulled into a temporary folder and read by the code that the run itself
uses; large ones are not pulled, what they need is estimated from their sizes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from solo_hub.checks import preflight_model as checkup_inside
from solo_hub.checks.result import CheckResult, State, wrong
from solo_hub.core import system as machine
from solo_hub.core.config import Config
from solo_hub.core.console import Console
from solo_hub.core.errors import (
    ConfigError,
    DependencyError,
    GatedError,
    HubError,
    InputError,
    NotAllowedError,
    RepoMissingError,
    SoloHubError,
)
from solo_hub.core.plugins import find
from solo_hub.core.system import format_bytes, free_disk
from solo_hub.hub.connection import LOCAL, Connection
from solo_hub.hub.repos import MODEL_EXTRAS, SMALL_FILES, Pinned, RepoType, parse_reference
from solo_hub.hub.seeds import seeding
from solo_hub.hub.seeds.packaged import MODELS
from solo_hub.hub.transfers import may_write
from solo_hub.knowledge.embedder_prompts import EmbedderPrompts
from solo_hub.publishing.documents import Origin
from solo_hub.publishing.licences import derive
from solo_hub.publishing.naming import repo_names
from solo_hub.run import references
from solo_hub.run.task import make_task

SMALL = 200_000_000  # bytes: data up to this size is pulled and read, more is left to the run


@dataclass
class Preflight:
    """One pre-flight check.

    Attributes:
        config: The settings.
        connection: The Hub; None where it is the embedded one and that has not been started yet.
        console: Where progress is reported.
        push: Whether the run is going to publish: what forbids that is wrong then, and advice otherwise.
        model: Whether to load the base model.
        folder: The run folder there will be.
        pins: What was pinned, by role.
        sizes: Sizes in bytes of the files of each role.
        reachable: Whether the Hub answers.
    """

    config: Config
    connection: Connection | None
    console: Console
    push: bool = False
    model: bool = False
    folder: Path = Path()
    pins: dict[str, Pinned] = field(default_factory=dict)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    reachable: bool = True

    def findings(self) -> Iterator[CheckResult]:
        """Look at everything, in the order in which a run would stumble over it."""
        yield from checkup_inside.libraries(self.config)
        plugins = list(self._plugins())
        yield from plugins
        device = checkup_inside.find_device(self.config)
        yield device.finding
        yield from self._token()
        repos = list(self._repos())
        yield from repos
        yield from self._licences()
        yield from self._disk()
        there = not wrong([*plugins, *repos]) and all(finding.state != "open" for finding in repos)
        if not there or self.connection is None:
            yield CheckResult(
                "memory, data, prompt", "open", "they can be looked at when all plugins and repos are there"
            )
            return
        with tempfile.TemporaryDirectory(prefix="solo-hub-doctor-") as temporary:
            cache = Path(temporary) / "cache"
            small = Connection(self.connection.endpoint, self.connection.token, cache)
            yield from self._embedder_prompts(small)
            self.console.note("reading configuration and tokenizer of the base")
            base = small.client().pull(self.pins["base"], allow=SMALL_FILES, ignore=MODEL_EXTRAS)
            if device.machine is not None:
                yield checkup_inside.memory(self.config, device.machine, self._weights(), base)
            yield from checkup_inside.ModelPreflight(
                self.config,
                base,
                self.connection if self.model else small,
                self.console,
                Path(temporary) / "run",
                frozenset(role for role, files in self.sizes.items() if sum(files.values()) > SMALL),
            ).findings(model=self.model)

    # -- by role ----------------------------------------------------------------------------------------------------

    def _references(self) -> dict[tuple[str, RepoType], list[str]]:
        """What the run pulls, each repo once: (reference, type) -> roles."""
        found: dict[tuple[str, RepoType], list[str]] = {}
        for role, (reference, kind) in references.references_of(self.config).items():
            found.setdefault((reference, kind), []).append(role)
        return found

    def _plugins(self) -> Iterator[CheckResult]:
        config = self.config
        named = (
            ("tasks", config.task.name),
            ("embedders", config.knowledge.embedder),
            ("retrievers", config.knowledge.retriever),
            ("engines", config.engine.name),
            ("selectors", config.selection.method),
        )
        good = []
        for group, name in named:
            try:
                made = find(group, name)
                if group == "tasks":
                    make_task(config.task)
                if group == "selectors":
                    made(config.selection.options, config.seed)
                good.append(name)
            except SoloHubError as error:
                yield CheckResult(f"{group.removesuffix('s')} {name}", "wrong", error.message, error.hint or "")
            except Exception as error:  # noqa: BLE001 - a stranger's plugin may fail in any way; that is what is reported
                said = f"{type(error).__name__}: {error}"
                yield CheckResult(f"{group.removesuffix('s')} {name}", "wrong", said, "See `solo-hub plugins`.")
        if len(good) == len(named):
            yield CheckResult("plugins", "ok", ", ".join(good))

    # -- the Hub ----------------------------------------------------------------------------------------------------

    def _token(self) -> Iterator[CheckResult]:
        if self.connection is None:
            yield CheckResult("token", "ok", "the embedded Hub makes one when it is first started")
            return
        client = self.connection.client()
        bad: State = "wrong" if self.push else "advice"
        try:
            namespace = client.require_write(self.config.publish.namespace)
            settings = self.config.publish
            names = repo_names(
                namespace, self.config.task.name, self.config.base, dataset=settings.dataset, adapter=settings.adapter
            )
            yield CheckResult("token", "ok", f"{client.whoami()} may push {names.dataset} and {names.adapter}")
        except NotAllowedError as error:
            yield CheckResult("token", bad, f"cannot publish: {error.message}", error.hint or "")
        except HubError as error:
            self.reachable = False
            yield CheckResult("Hub", "wrong", error.message, error.hint or "")
        except ConfigError as error:
            yield CheckResult("names of the repos", bad, error.message, error.hint or "")

    def _repos(self) -> Iterator[CheckResult]:
        for (reference, kind), roles in self._references().items():
            name = ", ".join(roles)
            try:
                places = [references.local(role, reference, kind) for role in roles]
                here = next((place for place in places if place is not None), None)
            except InputError as error:
                yield CheckResult(name, "wrong", error.message, error.hint or "")
                continue
            if here is not None:
                self.sizes.update({role: {} for role in roles})
                what = (
                    f"the folder {here}" if here.is_dir() else f"the file {here}, {format_bytes(here.stat().st_size)}"
                )
                yield CheckResult(name, "ok", what)
                continue
            if not self.reachable:
                yield CheckResult(name, "open", f"{reference}: the Hub cannot be reached")
                continue
            try:
                yield self._repo(name, reference, kind, roles)
            except (GatedError, RepoMissingError, NotAllowedError) as error:
                yield CheckResult(name, "wrong", error.message, error.hint or "")
            except HubError as error:
                self.reachable = False
                yield CheckResult(name, "wrong", error.message, error.hint or "")
            except SoloHubError as error:  # the name is not one of a repo
                yield CheckResult(name, "wrong", error.message, error.hint or "")

    def _repo(self, name: str, reference: str, kind: RepoType, roles: list[str]) -> CheckResult:
        client = self.connection.client() if self.connection is not None else None
        seeded = self.config.hub == LOCAL and parse_reference(reference)[0] in seeding.seedable()
        if client is None:
            if seeded:
                return _seed(name, reference)
            text = f"there is no {kind} '{reference}' on the embedded Hub, which has not been started yet"
            return CheckResult(name, "wrong", text, "Put it there: `solo-hub hub seed FOLDER`.")
        try:
            pinned = client.pin(reference, kind)
        except RepoMissingError:
            if not seeded:
                raise
            return _seed(name, reference)
        files = client.file_sizes(pinned)
        self.pins.update(dict.fromkeys(roles, pinned))
        self.sizes.update(dict.fromkeys(roles, files))
        what = f"{reference} at {pinned.commit[:8]}, {pinned.license_name or pinned.license or 'no licence stated'}"
        what += f", {format_bytes(sum(files.values()))}"
        if kind == "model" and not any(file.endswith(".safetensors") for file in files):
            return CheckResult(
                name, "wrong", f"{what}: no safetensors weights", "Choose a repo or revision with safetensors."
            )
        return CheckResult(name, "ok", what)

    def _licences(self) -> Iterator[CheckResult]:
        # the same roles as in publishing: the dataset holds what the base wrote, the adapter changes it
        origins = [
            Origin.read(role, self.pins[role].to_row() if role in self.pins else {"file": reference})
            for role, (reference, _) in references.references_of(self.config).items()
            if role in {"base", "questions", "knowledge"} and (role in self.pins or role in self.sizes)
        ]
        if len(origins) < 2 + bool(self.config.knowledge.passages):
            yield CheckResult("licences", "open", "they can be told when base, questions and knowledge are there")
            return
        bad: State = "wrong" if self.push else "advice"
        try:
            licence = derive([origin.source() for origin in origins], "adapter")
        except InputError as error:
            yield CheckResult("licences", bad, error.message, error.hint or "")
            return
        clear = licence.id != "unknown"
        yield CheckResult("licences", "ok" if clear else "advice", f"the adapter: {licence.id}. {licence.reason}")

    def _embedder_prompts(self, small: Connection) -> Iterator[CheckResult]:
        """What the embedder wants in front of queries and documents."""
        pinned = self.pins.get("embedder")
        if pinned is None or not self.config.knowledge.passages:
            return
        folder = small.client().pull(pinned, allow=SMALL_FILES, ignore=MODEL_EXTRAS)
        if text := str(EmbedderPrompts.read(folder, pinned.repo_id)):
            yield CheckResult("embedder's prompts", "ok", text)

    # -- room -------------------------------------------------------------------------------------------------------

    def _weights(self) -> int:
        files = self.sizes.get("base", {})
        return sum(size for file, size in files.items() if file.endswith(".safetensors"))

    def _disk(self) -> Iterator[CheckResult]:
        """Downloads that are not in the cache yet, the index and the run folder, disk by disk."""
        from huggingface_hub import constants

        from solo_hub.core.paths import home

        cache = (self.connection.cache if self.connection else None) or Path(constants.HF_HUB_CACHE)
        missing = sum(self._not_cached(self.pins[roles[0]], roles[0]) for roles in self._pulled())
        index = int(machine.INDEX_SHARE * sum(self.sizes.get("knowledge", {}).values()))
        needs = [(cache, missing), (home(), index), (self.folder, machine.RUN_FOLDER)]
        disks: dict[int, tuple[Path, int]] = {}
        yield from _locked(cache if missing else None, home(), self.folder)
        for place, need in needs:
            disk = machine.disk_of(place)
            first, sofar = disks.get(disk, (place, 0))
            disks[disk] = (first, sofar + need)
        for place, need in disks.values():
            free = free_disk(place)
            text = f"about {format_bytes(need)} needed, {format_bytes(free)} free on the disk of {place}"
            if need > free:
                yield CheckResult(
                    "disk", "wrong", text, "Free some, or point SOLO_HUB_HOME or HF_HOME to another disk."
                )
            else:
                yield CheckResult("disk", "ok", text)

    def _pulled(self) -> Iterator[list[str]]:
        for roles in self._references().values():
            if roles[0] in self.pins:
                yield roles

    def _not_cached(self, pinned: Pinned, role: str) -> int:
        from huggingface_hub import try_to_load_from_cache

        cache = self.connection.cache if self.connection else None
        return sum(
            size
            for file, size in self.sizes[role].items()
            if not isinstance(
                try_to_load_from_cache(
                    pinned.repo_id, file, cache_dir=cache, revision=pinned.commit, repo_type=pinned.type
                ),
                str,
            )
        )


def _locked(cache: Path | None, own: Path, folder: Path) -> Iterator[CheckResult]:
    """Folders that a run must write to and may not; the cache where something is missing in it."""
    if cache and not may_write(cache):
        hint = "Change its rights, or point SOLO_HUB_HOME or HF_HOME to a folder that can be written."
        yield CheckResult("rights", "wrong", f"no right to write to {cache}, where downloads go", hint)
    elif not may_write(own):
        text = f"no right to write to {own}: enough where the index of the documents is in it already"
        yield CheckResult("rights", "advice", text, "Otherwise point SOLO_HUB_HOME to a folder that can be written.")
    if not may_write(folder):
        yield CheckResult("rights", "wrong", f"no right to write to {folder}", "Choose another folder with --run DIR.")


def connect(config: Config) -> Connection | None:
    """The Hub of a configuration, without changing it: the embedded one is not made and nothing is put on it."""
    from solo_hub.core.paths import home
    from solo_hub.hub.opening import open_hub, start_embedded

    if config.hub != LOCAL:
        return open_hub(config.hub, needs=[])
    return start_embedded() if (home() / "hub" / "hub.sqlite3").exists() else None


def _seed(name: str, reference: str) -> CheckResult:
    """A repo that the run itself puts on the embedded Hub."""
    packaged = MODELS.get(parse_reference(reference)[0])
    if packaged is None:
        return CheckResult(name, "open", f"{reference} is invented by the run; to look at it now: `solo-hub hub seed`")
    if packaged.installed():
        text = f"{reference} comes from the package {packaged.package} when the run starts"
        return CheckResult(name, "open", f"{text}; to look at it now: `solo-hub hub seed`")
    error = DependencyError(packaged.package, extra="offline", purpose=f"{reference} without a network")
    return CheckResult(name, "wrong", error.message, f"Install it with: {packaged.install}")


def check_up(checkup: Preflight, tell: Callable[[CheckResult], None]) -> list[CheckResult]:
    """Make all checks, telling each as it is made.

    Returns:
        All of them; the run would be stopped where one is `wrong`.
    """
    found = []
    for finding in checkup.findings():
        tell(finding)
        found.append(finding)
    return found
