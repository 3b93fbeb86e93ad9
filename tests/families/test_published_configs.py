"""The options that published files really have, in the spellings of their time; and those that are refused."""

import math
from typing import Any

import pytest
import torch
import transformers

from oracles.tiny import ORACLES
from vitrail.errors import CheckpointError, UnsupportedModel
from vitrail.families import FAMILIES, Config, family_of, spec_of
from vitrail.layers.packing import Packing
from vitrail.layers.positions.rotary import Rotary
from vitrail.models import DisentangledPositions, EncoderSpec, LearnedPositions, RotaryPositions

BERT = {
    "model_type": "bert",
    "vocab_size": 37,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "max_position_embeddings": 23,
    "hidden_act": "gelu",
}

# The files of answerdotai/ModernBERT-base, EuroBERT/EuroBERT-210m and microsoft/deberta-v3-base, but for their sizes.
OLD_MODERNBERT = {
    "model_type": "modernbert",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_dropout": 0.0,
    "classifier_pooling": "mean",
    "decoder_bias": True,
    "deterministic_flash_attn": False,
    "embedding_dropout": 0.0,
    "global_attn_every_n_layers": 2,
    "global_rope_theta": 160000.0,
    "gradient_checkpointing": False,
    "hidden_activation": "gelu",
    "hidden_size": 24,
    "initializer_cutoff_factor": 2.0,
    "initializer_range": 0.02,
    "intermediate_size": 29,
    "layer_norm_eps": 1e-05,
    "local_attention": 6,
    "local_rope_theta": 1234.0,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "mlp_dropout": 0.0,
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 3,
    "num_hidden_layers": 5,
    "pad_token_id": 3,
    "position_embedding_type": "absolute",
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "vocab_size": 37,
}
OLD_EUROBERT = {
    "model_type": "eurobert",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {"AutoModel": "modeling_eurobert.EuroBertModel"},
    "bos_token": "<|begin_of_text|>",
    "eos_token": "<|end_of_text|>",
    "head_dim": 8,
    "hidden_act": "silu",
    "hidden_dropout": 0.0,
    "hidden_size": 24,
    "initializer_range": 0.02,
    "intermediate_size": 29,
    "mask_token": "<|mask|>",
    "mask_token_id": 9,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "pad_token": "<|end_of_text|>",
    "pad_token_id": 1,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 250000,
    "tie_word_embeddings": False,
    "vocab_size": 37,
}
OLD_DEBERTA_V3 = {
    "model_type": "deberta-v2",
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 24,
    "initializer_range": 0.02,
    "intermediate_size": 29,
    "max_position_embeddings": 512,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "layer_norm_eps": 1e-7,
    "max_relative_positions": -1,
    "position_biased_input": False,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "type_vocab_size": 0,
    "vocab_size": 37,
}
# nomic-ai/nomic-embed-text-v1.5 and Alibaba-NLP/gte-multilingual-base, whose code is their publishers' own.
OLD_NOMIC = {
    "model_type": "nomic_bert",
    "activation_function": "swiglu",
    "attn_pdrop": 0.0,
    "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"},
    "causal": False,
    "dense_seq_output": True,
    "embd_pdrop": 0.0,
    "fused_bias_fc": True,
    "fused_dropout_add_ln": True,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-12,
    "max_trained_positions": 2048,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "n_embd": 24,
    "n_head": 3,
    "n_inner": 29,
    "n_layer": 3,
    "n_positions": 8192,
    "pad_vocab_size_multiple": 4,
    "parallel_block": False,
    "parallel_block_tied_norm": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "reorder_and_upcast_attn": False,
    "resid_pdrop": 0.0,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "summary_activation": None,
    "summary_first_dropout": 0.0,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "type_vocab_size": 2,
    "use_flash_attn": True,
    "use_rms_norm": False,
    "use_xentropy": True,
    "vocab_size": 37,
}
OLD_GTE = {
    "model_type": "new",
    "attention_probs_dropout_prob": 0.0,
    "auto_map": {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"},
    "classifier_dropout": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 24,
    "initializer_range": 0.02,
    "intermediate_size": 29,
    "layer_norm_eps": 1e-12,
    "layer_norm_type": "layer_norm",
    "logn_attention_clip1": False,
    "logn_attention_scale": False,
    "max_position_embeddings": 8192,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "pack_qkv": True,
    "pad_token_id": 1,
    "position_embedding_type": "rope",
    "rope_scaling": {"factor": 8.0, "type": "ntk"},
    "rope_theta": 20000,
    "type_vocab_size": 1,
    "unpad_inputs": False,
    "use_memory_efficient_attention": False,
    "vocab_size": 37,
}


def read(values: dict[str, Any]) -> EncoderSpec:
    return spec_of(family_of(values), Config(values))


@pytest.mark.parametrize("values", [OLD_MODERNBERT, OLD_EUROBERT, OLD_DEBERTA_V3], ids=lambda each: each["model_type"])
def test_an_older_file_means_what_the_reference_library_takes_it_for(values: dict[str, Any]):
    options = {name: value for name, value in values.items() if name not in ("auto_map", "model_type")}
    today = transformers.AutoConfig.for_model(values["model_type"], **options).to_dict()

    assert read(values) == read(today)


def test_an_old_modernbert_has_its_windows_and_a_base_for_each_type_of_layer():
    spec = read(OLD_MODERNBERT)

    assert spec.windows == (None, 3, None, 3, None)
    assert spec.rotary == RotaryPositions(
        bases=(160000.0, 1234.0, 160000.0, 1234.0, 160000.0), rotary_dim=8, scaling=1.0, trained_length=8192
    )


def test_an_old_modernbert_without_a_base_for_windows_has_one_base():
    spec = read(OLD_MODERNBERT | {"local_rope_theta": None})

    assert spec.rotary is not None
    assert set(spec.rotary.bases) == {160000.0}


def test_deberta_v3_has_vectors_of_distances_and_no_others():
    distances = DisentangledPositions(
        num_buckets=256,
        max_distance=512,
        content_to_position=True,
        position_to_content=True,
        shared_projections=True,
        normalized=True,
    )
    assert read(OLD_DEBERTA_V3).positions == (distances,)


def test_a_nomic_file_in_gpt2_s_words_means_the_same_as_one_in_bert_s():
    in_berts_words = {
        **{name: BERT[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")},
        "model_type": "nomic_bert",
        "vocab_size": 40,  # rounded up to the multiple
        "intermediate_size": 29,
        "hidden_act": "silu",
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
        "type_vocab_size": 2,
        "pad_token_id": 0,
    }
    assert read(OLD_NOMIC) == read(in_berts_words)
    assert read(OLD_NOMIC | in_berts_words) == read(in_berts_words)


def test_gte_s_ntk_divides_the_lowest_frequency_by_the_factor_and_the_highest_least():
    spec = read(OLD_GTE)
    assert spec.rotary is not None
    rotary = Rotary(spec.rotary.rotary_dim, base=spec.rotary.bases[0], scaling=spec.rotary.scaling)

    _, sine = rotary.waves(Packing.of([2]))

    pairs = [20000.0 ** (-2 * i / 8) / 8.0 ** (2 * (i + 1) / 8) for i in range(4)]
    torch.testing.assert_close(sine[1, 0], torch.tensor([math.sin(angle) for angle in pairs]))


def test_gte_with_rms_norm_has_no_bias_in_its_norms():
    spec = read(OLD_GTE | {"layer_norm_type": "rms_norm"})

    assert (spec.normalization, spec.norm_bias) == ("rms_norm", False)


@pytest.mark.parametrize(
    "values", [OLD_MODERNBERT, OLD_EUROBERT, OLD_DEBERTA_V3, OLD_NOMIC, OLD_GTE], ids=lambda each: each["model_type"]
)
def test_every_option_of_a_published_file_is_understood(values: dict[str, Any]):
    config = Config(values)
    family = family_of(values)
    spec_of(family, config)

    assert config.unread == ()
    if "auto_map" in values:
        assert values["auto_map"]["AutoModel"].split("--")[-1] in family.known_code


def test_roberta_counts_from_behind_its_padding_id_and_mpnet_always_from_behind_1():
    roberta = read(BERT | {"model_type": "roberta", "pad_token_id": 4})
    mpnet = read(BERT | {"model_type": "mpnet", "pad_token_id": 4})

    assert roberta.positions == (LearnedPositions(max_positions=23, padding_id=4),)
    assert mpnet.positions[0] == LearnedPositions(max_positions=23, padding_id=1)
    assert mpnet.padding_id == 1


def test_a_padding_id_of_null_is_none_and_an_absent_one_the_family_s():
    assert read(BERT | {"pad_token_id": None}).padding_id is None
    assert read(BERT).padding_id == 0


REFUSED = [
    (BERT, {"position_embedding_type": "relative_key"}),
    (BERT, {"is_decoder": True}),
    (BERT, {"add_cross_attention": True}),
    (BERT, {"hidden_act": "gelu_10"}),
    (BERT, {"num_attention_heads": 5}),
    (BERT | {"model_type": "roberta"}, {"pad_token_id": None}),
    (BERT | {"model_type": "roberta"}, {"position_embedding_type": "relative_key_query"}),
    (BERT | {"model_type": "albert", "embedding_size": 14}, {"inner_group_num": 2}),
    (BERT | {"model_type": "albert"}, {"embedding_size": 24}),
    (BERT | {"model_type": "mpnet"}, {"relative_attention_num_buckets": 64}),
    (OLD_DEBERTA_V3, {"conv_kernel_size": 3}),
    (OLD_DEBERTA_V3, {"embedding_size": 14}),
    (OLD_DEBERTA_V3, {"relative_attention": False}),
    (OLD_DEBERTA_V3, {"pos_att_type": "p2p"}),
    (OLD_MODERNBERT, {"rope_scaling": {"type": "linear", "factor": 2.0}}),
    (OLD_MODERNBERT, {"layer_types": ["full_attention", "chunked_attention"] * 2}),
    (OLD_MODERNBERT, {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}),
    (OLD_EUROBERT, {"rope_scaling": {"type": "yarn", "factor": 2.0}}),
    (OLD_EUROBERT, {"rope_scaling": {"type": "linear", "factor": 2.0, "attention_factor": 0.5}}),
    (OLD_NOMIC, {"activation_function": "gelu"}),
    (OLD_NOMIC, {"prenorm": True}),
    (OLD_NOMIC, {"rotary_emb_fraction": 0.5}),
    (OLD_NOMIC, {"rotary_scaling_factor": 2}),
    (OLD_GTE, {"position_embedding_type": "absolute"}),
    (OLD_GTE, {"logn_attention_scale": True}),
]


@pytest.mark.parametrize(("values", "option"), REFUSED, ids=[f"{a['model_type']}-{b}" for a, b in REFUSED])
def test_an_option_that_vitrail_does_not_compute_is_refused_by_name(values: dict[str, Any], option: dict[str, Any]):
    (name,) = option

    with pytest.raises(UnsupportedModel, match=name.removesuffix("_scaling").replace("rope", "rotary|rope")):
        read(values | option)


def test_options_nobody_knows_are_listed():
    config = Config(BERT | {"frobnication": 3})
    spec_of(family_of(BERT), config)

    assert config.unread == ("frobnication",)


def test_a_file_that_lacks_an_option_or_has_nonsense_in_it_is_a_checkpoint_error_that_names_it():
    with pytest.raises(CheckpointError, match="bert model lacks 'hidden_size'"):
        read({name: value for name, value in BERT.items() if name != "hidden_size"})
    with pytest.raises(CheckpointError, match="bert model describes no encoder"):
        read(BERT | {"hidden_size": "24"})
    with pytest.raises(CheckpointError, match="vocab_size must be at least 1, got 0"):
        read(BERT | {"vocab_size": 0})
    with pytest.raises(CheckpointError, match="padding_id 99"):
        read(BERT | {"pad_token_id": 99})


def test_an_unknown_model_type_is_refused_with_the_known_ones_listed():
    with pytest.raises(UnsupportedModel, match=r"'gpt2' .* it builds albert, bert, .* vitrail, xlm-roberta"):
        family_of({"model_type": "gpt2"})


def test_every_family_has_an_oracle_and_a_model_type_of_its_own():
    types = [model_type for family in FAMILIES for model_type in family.model_types]

    assert len(types) == len(set(types))
    assert {oracle.model_type for oracle in ORACLES.values()} == set(types) - {"new", "vitrail"}
