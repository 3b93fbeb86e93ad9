"""Every family's tiny model runs natively, and gives what the reference library gives."""

from pathlib import Path

import pytest
import torch

from oracles.carrying import filled, read_folder
from oracles.tiny import ORACLES, batches, reference_hidden
from vitrail.backends.inference import NATIVE, Inference
from vitrail.backends.native import is_built
from vitrail.layers.packing import Packing
from vitrail.models import LearnedPositions

pytestmark = pytest.mark.skipif(not is_built(), reason="no native engine here")


@pytest.mark.parametrize("name", [name for name in ORACLES if not name.startswith("deberta")])
def test_a_family_s_model_runs_natively_as_the_reference_does(name: str, tmp_path: Path):
    reference = ORACLES[name].build()
    reference.save_pretrained(tmp_path)
    family, spec, _, tensors = read_folder(tmp_path)
    inference = Inference(filled(family, spec, tensors)[0])
    padding_id = 4 if spec.padding_id is None else spec.padding_id
    by_ids = isinstance(spec.added, LearnedPositions) and spec.added.padding_id is not None

    assert inference.path.name == NATIVE
    for kind, batch in batches(padding_id).items():
        if batch.token_type_ids is not None:
            continue
        ids = batch.input_ids
        packing, kept = Packing.of_mask(batch.kept, ids == padding_id if by_ids else None)
        with torch.inference_mode():
            found = inference.run(ids.flatten()[kept], packing)
            wanted = reference_hidden(reference, batch).flatten(0, 1)[kept]
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5, msg=lambda text, kind=kind: f"{kind}: {text}")
