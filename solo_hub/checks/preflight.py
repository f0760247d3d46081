"""Pre-flight: finds what would stop a run before it starts. Nothing is pushed, no run folder is created.

Small files (tokenizer, questions, corpus) are pulled into a temporary folder and read by the same code as in the run;
large ones are not pulled: their requirements are estimated from their sizes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from solo_hub.checks import preflight_model
from solo_hub.checks.preflight_files import local_data
from solo_hub.checks.result import CheckResult, State, failed
from solo_hub.core import system as machine
from solo_hub.core.config import Config, advice
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
from solo_hub.core.settings import TeacherModel
from solo_hub.core.system import format_bytes, free_disk
from solo_hub.hub.connection import LOCAL, Connection
from solo_hub.hub.repos import MODEL_EXTRAS, SMALL_FILES, Pinned, RepoType, parse_reference
from solo_hub.hub.seeds import seeding
from solo_hub.hub.seeds.packaged import MODELS
from solo_hub.hub.transfers import may_write
from solo_hub.knowledge.embedder_prompts import EmbedderPrompts
from solo_hub.publishing.documents import basename, source
from solo_hub.publishing.licences import Source, derive
from solo_hub.publishing.naming import repo_names
from solo_hub.run import references, settings_checks
from solo_hub.run.context import RunContext
from solo_hub.run.resolved import PinnedRepo
from solo_hub.run.teachers import engine_of, is_served

SMALL = 200_000_000  # bytes: larger data is not pulled here


@dataclass
class Preflight:
    """One pre-flight check.

    Attributes:
        config: The settings.
        connection: The Hub; None if it is the embedded one and has not been started yet.
        console: Where progress is reported.
        push: Whether the run will publish; if not, what forbids publishing is a warning only.
        model: Whether to load the base model.
        folder: The run folder of the future run.
        pins: Pinned repos, by role.
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

    def results(self) -> Iterator[CheckResult]:
        """Make all checks, in the order in which a run would hit the problems."""
        yield from preflight_model.libraries(self.config)
        plugins = list(self._plugins())
        yield from plugins
        yield from (CheckResult("settings", "warn", sentence) for sentence in advice(self.config))
        device = preflight_model.find_device(self.config)
        yield device.result
        yield from self._token()
        repos = list(self._repos())
        yield from repos
        yield from self._licences()
        yield from self.disks()
        available = not failed([*plugins, *repos]) and all(result.state != "skipped" for result in repos)
        if not available or self.connection is None:
            yield from local_data(self.config) if not failed(plugins) else ()
            yield CheckResult("memory, data, prompt", "skipped", "checked once all plugins and repos are available")
            return
        with tempfile.TemporaryDirectory(prefix="solo-hub-doctor-") as temporary:
            cache = Path(temporary) / "cache"
            small = Connection(self.connection.endpoint, self.connection.token, cache)
            yield from self._embedder_prompts(small)
            self.console.note("reading configuration and tokenizer of the base")
            models = {
                role: small.client().pull(self.pins[role], allow=SMALL_FILES, ignore=MODEL_EXTRAS)
                for role in ("base", *self._teachers())
            }
            for role, folder in models.items():
                served = role != "base" and is_served(engine_of(self.config, self._teachers()[role]))
                if device.machine is not None and not served:
                    yield preflight_model.memory(self.config, device.machine, self.weights(role), folder, role)
            yield from preflight_model.ModelPreflight(
                self.config,
                models,
                self.connection if self.model else small,
                self.console,
                Path(temporary) / "run",
                frozenset(role for role, files in self.sizes.items() if sum(files.values()) > SMALL),
            ).results(model=self.model)

    # -- by role ----------------------------------------------------------------------------------------------------

    def _references(self) -> dict[tuple[str, RepoType], list[str]]:
        """What the run pulls, each repo once: (reference, type) -> roles."""
        roles: dict[tuple[str, RepoType], list[str]] = {}
        for role, (reference, kind) in references.references_of(self.config).items():
            roles.setdefault((reference, kind), []).append(role)
        return roles

    def _plugins(self) -> Iterator[CheckResult]:
        configured, valid = list(settings_checks.plugins(self.config)), []
        for group, name, load in configured:
            try:
                load()
                valid.append(name)
            except SoloHubError as error:
                yield CheckResult(f"{group.removesuffix('s')} {name}", "fail", error.message, error.hint or "")
            except Exception as error:  # noqa: BLE001 - a third-party plugin may fail in any way; that is what is reported
                message = f"{type(error).__name__}: {error}"
                yield CheckResult(f"{group.removesuffix('s')} {name}", "fail", message, "See `solo-hub plugins`.")
        if len(valid) == len(configured):
            yield CheckResult("plugins", "pass", ", ".join(valid))

    # -- the Hub ----------------------------------------------------------------------------------------------------

    def _token(self) -> Iterator[CheckResult]:
        if self.connection is None:
            yield CheckResult("token", "pass", "created when the embedded Hub is first started")
            return
        client = self.connection.client()
        severity: State = "fail" if self.push else "warn"
        try:
            namespace = client.require_write(self.config.publish.namespace)
            settings = self.config.publish
            names = repo_names(
                namespace,
                self.config.subject,
                self.config.base,
                dataset=settings.dataset,
                adapter=settings.adapter,
            )
            yield CheckResult("token", "pass", f"{client.whoami()} may push to {names.dataset} and {names.adapter}")
        except NotAllowedError as error:
            yield CheckResult("token", severity, f"cannot publish: {error.message}", error.hint or "")
        except HubError as error:
            self.reachable = False
            yield CheckResult("Hub", "fail", error.message, error.hint or "")
        except ConfigError as error:
            yield CheckResult("repo names", severity, error.message, error.hint or "")

    def _repos(self) -> Iterator[CheckResult]:
        for (reference, kind), roles in self._references().items():
            name = ", ".join(roles)
            try:
                paths = [references.local(role, reference, kind) for role in roles]
                local = next((path for path in paths if path is not None), None)
            except InputError as error:
                yield CheckResult(name, "fail", error.message, error.hint or "")
                continue
            if local is not None:
                self.sizes.update({role: {} for role in roles})
                what = (
                    f"the folder {local}"
                    if local.is_dir()
                    else f"the file {local}, {format_bytes(local.stat().st_size)}"
                )
                yield CheckResult(name, "pass", what)
                continue
            if not self.reachable:
                yield CheckResult(name, "skipped", f"{reference}: the Hub is unreachable")
                continue
            try:
                yield self._repo(name, reference, kind, roles)
            except SoloHubError as error:
                answered = (GatedError, RepoMissingError, NotAllowedError)
                self.reachable = isinstance(error, answered) or not isinstance(error, HubError)
                yield CheckResult(name, "fail", error.message, error.hint or "")

    def _repo(self, name: str, reference: str, kind: RepoType, roles: list[str]) -> CheckResult:
        client = self.connection.client() if self.connection is not None else None
        seeded = self.config.hub == LOCAL and parse_reference(reference)[0] in seeding.seedable()
        if client is None:
            if seeded:
                return _seed(name, reference)
            text = f"no {kind} '{reference}' on the embedded Hub, which has not been started yet"
            return CheckResult(name, "fail", text, "Add it with `solo-hub hub seed FOLDER`.")
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
                name, "fail", f"{what}: no safetensors weights", "Choose a repo or revision with safetensors."
            )
        return CheckResult(name, "pass", what)

    def _licences(self) -> Iterator[CheckResult]:
        # the same roles as in publishing: the dataset contains what the base wrote, the adapter modifies the base
        bound = {"base", "questions", "knowledge", "labels", *self._teachers()}
        sources = [
            source(role, PinnedRepo(**self.pins[role].to_row()))
            if role in self.pins
            else Source(role, basename(reference), ())
            for role, (reference, _) in references.references_of(self.config).items()
            if role in bound and (role in self.pins or role in self.sizes)
        ]
        named = bound & references.references_of(self.config).keys()
        if len(sources) < len(named):
            yield CheckResult("licences", "skipped", "checked once base, questions and knowledge are available")
            return
        severity: State = "fail" if self.push else "warn"
        try:
            licence = derive(sources, "adapter")
        except InputError as error:
            yield CheckResult("licences", severity, error.message, error.hint or "")
            return
        known = licence.id != "unknown"
        yield CheckResult("licences", "pass" if known else "warn", f"the adapter: {licence.id}. {licence.reason}")

    def _embedder_prompts(self, small: Connection) -> Iterator[CheckResult]:
        """The prompts that the embedder expects before queries and documents."""
        pinned = self.pins.get("embedder")
        if pinned is None or not self.config.knowledge.passages:
            return
        folder = small.client().pull(pinned, allow=SMALL_FILES, ignore=MODEL_EXTRAS)
        if text := str(EmbedderPrompts.read(folder, pinned.repo_id)):
            yield CheckResult("embedder prompts", "pass", text)

    # -- disk -------------------------------------------------------------------------------------------------------

    def _teachers(self) -> dict[str, TeacherModel]:
        """The teachers that are other models, by role."""
        return {references.teacher_role(number): model for number, model in enumerate(self.config.teacher.base)}

    def weights(self, role: str = "base") -> int:
        """Bytes of a model's weights; 0 if unknown."""
        files = self.sizes.get(role, {})
        return sum(size for file, size in files.items() if file.endswith(".safetensors"))

    def disks(self) -> Iterator[CheckResult]:
        """Space for downloads that are not cached yet, the index and the run folder, by disk."""
        from huggingface_hub import constants

        from solo_hub.core.paths import home

        cache = (self.connection.cache if self.connection else None) or Path(constants.HF_HUB_CACHE)
        missing = sum(self._not_cached(self.pins[roles[0]], roles[0]) for roles in self._pulled())
        index = int(machine.INDEX_SHARE * sum(self.sizes.get("knowledge", {}).values()))
        needs = [(cache, missing), (home(), index), (self.folder, machine.RUN_FOLDER)]
        disks: dict[int, tuple[Path, int]] = {}
        yield from _permissions(cache if missing else None, home(), self.folder)
        for place, need in needs:
            disk = machine.disk_of(place)
            first, sofar = disks.get(disk, (place, 0))
            disks[disk] = (first, sofar + need)
        for place, need in disks.values():
            free = free_disk(place)
            text = f"about {format_bytes(need)} needed, {format_bytes(free)} free on the disk of {place}"
            if need > free:
                yield CheckResult(
                    "disk", "fail", text, "Free some space, or point SOLO_HUB_HOME or HF_HOME to another disk."
                )
            else:
                yield CheckResult("disk", "pass", text)

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


def _permissions(cache: Path | None, own: Path, folder: Path) -> Iterator[CheckResult]:
    """Folders that a run must write to but cannot; the cache only if something has to be downloaded."""
    if cache and not may_write(cache):
        hint = "Change its permissions, or point SOLO_HUB_HOME or HF_HOME to a writable folder."
        yield CheckResult("permissions", "fail", f"{cache}, where downloads go, is not writable", hint)
    elif not may_write(own):
        text = f"{own} is not writable; that is fine if the index of the documents is already cached there"
        yield CheckResult("permissions", "warn", text, "Otherwise point SOLO_HUB_HOME to a writable folder.")
    if not may_write(folder):
        yield CheckResult("permissions", "fail", f"{folder} is not writable", "Choose another folder with --run DIR.")


def at_start(context: RunContext, console: Console) -> None:
    """Make the checks that need neither a model nor a download, at the beginning of a run.

    One line if nothing was found; else a warning each: needs of memory and disk are estimates.
    """
    config, results = context.config, list(preflight_model.libraries(context.config))
    device = preflight_model.find_device(config)
    results.append(device.result)
    check = Preflight(config, context.connection, Console("quiet"), folder=context.run.path)
    try:
        for role, entry in context.resolved.repos.items():
            if isinstance(entry, PinnedRepo):
                check.pins[role] = entry.on(context.client.endpoint)
                check.sizes[role] = context.client.file_sizes(check.pins[role])
        results += check.disks()
        if device.machine is not None and (weights := check.weights()):
            results.append(preflight_model.memory(config, device.machine, weights, context.small_files("base")))
    except HubError:
        pass  # a run whose repos are in the cache needs no Hub
    for result in failed(results):
        console.warn(f"{result.name}: {result.detail.rstrip('.')}. {result.remedy}".strip())
    if not failed(results):
        console.note("checked: " + "; ".join(result.detail for result in results))


def connect(config: Config) -> Connection | None:
    """The Hub of a configuration, unchanged: the embedded one is neither created nor seeded."""
    from solo_hub.core.paths import home
    from solo_hub.hub.opening import open_hub, start_embedded

    if config.hub != LOCAL:
        return open_hub(config.hub, needs=[])
    return start_embedded() if (home() / "hub" / "hub.sqlite3").exists() else None


def _seed(name: str, reference: str) -> CheckResult:
    """A repo that the run itself seeds on the embedded Hub."""
    packaged = MODELS.get(parse_reference(reference)[0])
    if packaged is None:
        return CheckResult(
            name, "skipped", f"{reference} is generated by the run; to check it now: `solo-hub hub seed`"
        )
    if packaged.installed():
        text = f"{reference} is taken from the package {packaged.package} when the run starts"
        return CheckResult(name, "skipped", f"{text}; to check it now: `solo-hub hub seed`")
    error = DependencyError(packaged.package, extra="offline", purpose=f"{reference} without a network")
    return CheckResult(name, "fail", error.message, f"Install it with: {packaged.install}")


def run_checks(preflight: Preflight, report: Callable[[CheckResult], None]) -> list[CheckResult]:
    """Make all checks, reporting each as it is made.

    Returns:
        All results; the run would stop if one is `fail`.
    """
    results = []
    for result in preflight.results():
        report(result)
        results.append(result)
    return results
