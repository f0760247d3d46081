"""Scores options in llama.cpp's own server, in a bare environment: MODEL.gguf ASKED.json -> JSON on stdout."""

import json
import sys
from pathlib import Path

import xllamacpp

NEVER_IN_DOUBT = 1000  # added to a token's logit; the log-probability that is returned is the model's own


def log_probability(server, prompt, token):
    """Of a token after a prompt, which may mix texts and token ids."""
    answer = server.handle_completions({
        "prompt": prompt, "n_predict": 1, "n_probs": 1, "logit_bias": [[token, NEVER_IN_DOUBT]], "temperature": 0,
        "cache_prompt": True, "post_sampling_probs": False,
    })  # fmt: skip
    [chosen] = answer["choices"][0]["logprobs"]["content"]
    assert chosen["id"] == token
    return chosen["logprob"]


def main(model, file):
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads = model, 512, 1, 1
    settings.warmup, settings.verbosity = False, 0
    server = xllamacpp.Server(settings)
    rows = json.loads(Path(file).read_text())
    scores = [
        [
            sum(log_probability(server, [row["prompt"], *ids[:n]], token) for n, token in enumerate(ids))
            for ids in row["options"]
        ]
        for row in rows
    ]
    json.dump(scores, sys.stdout)


main(*sys.argv[1:])
