from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from solo_hub.core.errors import InputError
from solo_hub.publishing import leaks

# Put together here so that no scanner takes this file for a leak.
SECRETS = {
    "Hugging Face token": "hf_" + "aB3" * 12,
    "OpenAI-style key": "sk-" + "proj-" + "x9Y" * 10,
    "AWS access key": "AKIA" + "ABCDEFGH12345678",
    "GitHub token": "ghp_" + "a1B2" * 9,
    "Google API key": "AIza" + "b" * 35,
    "Slack token": "xoxb-" + "123456789012",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "authorization header": "Authorization: Bearer " + "abcdef0123456789abcdef",
    "password in an address": "https://ada:" + "hunter22@hub.example",
    "key in an address": "http://hub.example/v1?n=1&api_key=" + "hunter22pass",
}
OTHER_FORMS = {
    "password in an address": ("redis://:" + "hunter22@cache", "ada:" + "hunter22@10.0.0.1:8080/v1"),
    "key in an address": (
        "API_KEY=" + "a1b2c3d4e5", "http://h?token=" + "qWertzUiop" * 2, "x?X-Amz-Signature=" + "0f" * 8,
        "&access_token=" + "a1b2c3d4", "auth-token=" + "a1b2c3d4",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "secret"), SECRETS.items())
def test_a_secret_in_a_text_file_is_refused_with_file_and_line_and_never_repeated(tmp_path, kind, secret):
    (tmp_path / "config.yaml").write_text(f"a: 1\nb: {secret}\n")
    with pytest.raises(InputError) as refused:
        leaks.refuse(tmp_path)
    assert "config.yaml, row 2" in str(refused.value)
    assert kind in str(refused.value)
    assert secret not in str(refused.value)


@pytest.mark.parametrize(("kind", "secret"), [(kind, text) for kind, texts in OTHER_FORMS.items() for text in texts])
def test_other_forms_of_a_secret(tmp_path, kind, secret):
    (tmp_path / "train.jsonl").write_text(f"see {secret} there\n")
    assert list(leaks.find(tmp_path)) == [leaks.Leak("train.jsonl", 1, kind)]


def test_a_secret_in_a_question_is_found_inside_compressed_parquet(tmp_path):
    rows = pa.table(
        {"id": ["a", "b"], "passages": [[{"text": "fine"}], [{"text": "my key is " + SECRETS["Hugging Face token"]}]]}
    )
    pq.write_table(rows, tmp_path / "train.parquet", compression="zstd")
    assert list(leaks.find(tmp_path)) == [leaks.Leak("train.parquet", 2, "Hugging Face token")]


def test_metadata_of_safetensors_is_looked_at_and_weights_are_not(tmp_path):
    save_file({"w": np.frombuffer(SECRETS["AWS access key"].encode(), dtype=np.uint8)}, tmp_path / "a.safetensors")
    assert list(leaks.find(tmp_path)) == []
    save_file({"w": np.zeros(1)}, tmp_path / "a.safetensors", metadata={"note": SECRETS["Hugging Face token"]})
    assert list(leaks.find(tmp_path)) == [leaks.Leak("a.safetensors", None, "Hugging Face token")]


@pytest.mark.parametrize(
    "innocent",
    [
        "hf_token",
        "the hf_hub_download function",
        "commit " + "a1" * 20,
        "sk-learn",
        "risk-averse-but-long-enough-to-look-odd",
        "https://hub.example/a:b@c",
        "mailto:ann@example.org, E-mail:ann@example.org, at 10:30@home",
        "http://hub.example/?api_key=YOUR_API_KEY&token=YourToken&page_token=next",
        "http://hub.example/?keyword=a1b2c3d4&monkey=a1b2c3d4, the token = 12345678",
        "http://127.0.0.1:8000/datasets/ann/data@main:8000",
    ],
)
def test_ordinary_text_is_not_a_secret(tmp_path, innocent):
    (tmp_path / "README.md").write_text(innocent)
    assert list(leaks.find(tmp_path)) == []


def test_an_empty_folder_holds_none(tmp_path):
    assert list(leaks.find(tmp_path)) == []


def test_nothing_in_solo_hubs_own_code_is_taken_for_a_secret(tmp_path):
    """The package travels with every Space and job: an example of a secret in it would stop them all."""
    from solo_hub.run.jobs.package import copy_package

    copy_package(tmp_path)
    assert list(leaks.find(tmp_path)) == []
