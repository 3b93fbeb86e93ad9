"""RoBERTa ([Liu 2019]), and the families that differ from it in their training only: XLM-RoBERTa, CamemBERT.

Beside BERT: positions count the ids that are not padding and begin after the padding id, so a text keeps its positions
wherever its row is padded. The published checkpoints have one token type.

[Liu 2019]: https://arxiv.org/abs/1907.11692
"""

from dataclasses import replace

from vitrail.checkpoints.weight_map import WeightMap
from vitrail.errors import UnsupportedModel
from vitrail.families.bert import BERT_BUFFERS, BERT_TABLE, bert_spec, encoder_only, write_bert
from vitrail.families.config import Config
from vitrail.families.family import Family
from vitrail.families.heads import roberta_heads
from vitrail.models.positions import LearnedPositions
from vitrail.models.spec import EncoderSpec


def read_roberta(config: Config) -> EncoderSpec:
    encoder_only(config)
    padding_id = config.nullable("pad_token_id", 1)
    if padding_id is None:
        raise UnsupportedModel(
            f"config.json of this {config.model_type} model sets pad_token_id to null, and its positions count the ids "
            "that are not padding; set it to the id of the padding token"
        )
    positions = LearnedPositions(max_positions=config["max_position_embeddings"], padding_id=padding_id)
    return bert_spec(config, positions=(positions,), default_padding_id=1)


FAMILY = Family(
    model_types=("roberta",),
    architecture="RobertaModel",
    read=read_roberta,
    write=write_bert,
    weights=(
        WeightMap(
            prefix="roberta.",
            table=BERT_TABLE,
            ignored=BERT_BUFFERS,
            heads=("pooler.", "lm_head.", "classifier.", "qa_outputs."),
        ),
    ),
    heads=roberta_heads("Roberta"),
)
XLM_ROBERTA = replace(
    FAMILY, model_types=("xlm-roberta",), architecture="XLMRobertaModel", heads=roberta_heads("XLMRoberta")
)
CAMEMBERT = replace(FAMILY, model_types=("camembert",), architecture="CamembertModel", heads=roberta_heads("Camembert"))
