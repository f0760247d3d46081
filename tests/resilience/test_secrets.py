"""The token of a run is in no file, message, card, report or command line that the run leaves."""

from __future__ import annotations

import gzip

from small_run import TOKEN, settings_of, write_config

NEEDLES = (TOKEN.encode(), TOKEN[3:].encode())


def holding(folder):
    """Files that hold the token, also inside gzip and Parquet."""
    from solo_hub.publishing.leaks import find

    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            if any(needle in data for needle in NEEDLES):
                found.append(str(path))
    return found + [leak.file for leak in find(folder) if leak.kind == "Hugging Face token"]


def test_a_run_leaves_no_token(calm, count):
    """Run folder, downloads, index, both filled repos, and all it said."""
    run, done, again = calm
    found = holding(run) + holding(run.parent / "home" / "cache" / "knowledge")
    said = [one for one in (done.err + done.out, again.err + again.out) if TOKEN in one]
    count("secrets found", len(found) + len(said))
    assert found == said == []


def test_a_token_in_an_address_is_not_repeated(runner, tmp_path):
    """A configuration with a token where none belongs: neither message nor run folder repeats it."""
    for key, value in (
        ("hub", f"http://user:{TOKEN}@127.0.0.1:9"), ("base", f"tests/{TOKEN}"), ("base", f"{TOKEN} x"),
    ):  # fmt: skip
        settings = {**settings_of("secret"), key: value}
        config = write_config(tmp_path / "config.yaml", settings)
        hub = "" if key == "hub" else None
        done = runner.run("distill", config, "--run", tmp_path / "run", "--push", home=tmp_path / "home", hub=hub)
        assert done.code in (1, 2)
        assert TOKEN not in done.err
        assert not holding(tmp_path / "run") if (tmp_path / "run").exists() else True


def test_a_failure_with_traceback_hides_the_token(runner, tmp_path):
    config = write_config(tmp_path / "config.yaml", {**settings_of("trace"), "base": f"tests/no-{TOKEN}"})
    env = {"SOLO_HUB_TRACEBACK": "1"}
    done = runner.run("distill", config, "--run", tmp_path / "run", "--push", home=tmp_path / "home", env=env)
    assert done.code == 1
    assert "Traceback" in done.err
    assert TOKEN not in done.err
