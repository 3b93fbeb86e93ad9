"""What an encoder costs, from its spec alone: parameters, multiply-adds, values in memory. No weights are read.

The idea: a product of a vector with a matrix of n numbers takes n multiply-adds, so the work of the linear layers per
token is their number of weights, and only what tokens do with one another (scores and mixing) depends on the length.
Norms, activations, softmax and the sums of residuals are not counted: they are not products.
"""

from dataclasses import dataclass

from vitrail.layers.pooling import PoolingSpec
from vitrail.models.positions import DisentangledPositions, LearnedPositions, RelativeBiasPositions
from vitrail.models.spec import EncoderSpec

# Past this many tokens in one text nobody asks any more.
_LONGEST = 2**40


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How many numbers each part of an encoder has learned; layers that share theirs count once.

    embeddings: tables and projection. relation: tables of distances. norms: of every place. pooling: its projections.
    """

    embeddings: int
    attention: int
    feed_forward: int
    norms: int
    relation: int
    pooling: int

    @property
    def total(self) -> int:
        return sum(vars(self).values())


@dataclass(frozen=True, kw_only=True)
class Work:
    """Multiply-adds for one text, alone in a pass.

    embeddings: the projection of narrow embeddings. projections: to query, key and value, and of the context.
    scores_and_mixing: Q Kᵀ and the weights times V, over the pairs of tokens that see one another. distances: the
    products of DeBERTa's vectors of distances. feed_forward: its two or three products.
    """

    embeddings: int
    projections: int
    scores_and_mixing: int
    distances: int
    feed_forward: int

    @property
    def total(self) -> int:
        return sum(vars(self).values())


def count_parameters(spec: EncoderSpec, pooling: PoolingSpec | None = None) -> Parameters:
    sets = [spec.shared_layers.index(group) for group in sorted(set(spec.shared_layers))]
    norm_size = 2 if spec.norm_bias else 1
    layer_norms = sum(1 + (index > 0 or spec.first_attention_norm) for index in sets)
    norms = (layer_norms + spec.final_norm) * spec.hidden_size + spec.embedding_norm * spec.embedding_size
    relation = 0
    match spec.relation:
        case RelativeBiasPositions(num_buckets=num_buckets):
            relation = num_buckets * spec.num_heads
        case DisentangledPositions() as scheme:
            relation = _num_distances(scheme) * spec.hidden_size
            norms += scheme.normalized * spec.hidden_size
    projections = () if pooling is None else pooling.projections
    return Parameters(
        embeddings=_embedding_parameters(spec),
        attention=len(sets) * _attention_parameters(spec),
        feed_forward=len(sets) * _feed_forward_parameters(spec),
        norms=norm_size * norms,
        relation=relation,
        pooling=sum((each.in_features + each.bias) * each.out_features for each in projections),
    )


def count_work(spec: EncoderSpec, length: int) -> Work:
    """The multiply-adds for one text of `length` tokens."""
    factorised = spec.embedding_size != spec.hidden_size
    table, per_token = _distance_work(spec)
    return Work(
        embeddings=length * factorised * spec.embedding_size * spec.hidden_size,
        projections=length * spec.num_layers * _projection_weights(spec),
        scores_and_mixing=_pair_work(spec) * sum(count_pairs(length, window, spec.causal) for window in spec.windows),
        distances=spec.num_layers * (table + length * per_token),
        feed_forward=length * spec.num_layers * _feed_forward_weights(spec),
    )


def count_pairs(length: int, window: int | None, causal: bool) -> int:
    """How many (query, key) in a text see one another: |i − j| ≤ window, and j ≤ i when causal."""
    reach = max(length - 1, 0) if window is None else min(window, max(length - 1, 0))
    one_side = reach * length - reach * (reach + 1) // 2
    return length + (1 if causal else 2) * one_side


def balance_length(spec: EncoderSpec) -> int | None:
    """The shortest text for which scores and mixing take as much as projections and feed-forward; None: there is none.

    For layers that see everything it is (weights of a layer) / (2 · heads · head_dim); where all layers have windows,
    the work of both grows with the length alike.
    """

    def reached(length: int) -> bool:
        work = count_work(spec, length)
        return work.scores_and_mixing >= work.projections + work.feed_forward

    if spec.num_layers == 0 or not reached(_LONGEST):
        return None
    low, high = 0, _LONGEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def activation_values(spec: EncoderSpec, tokens: int) -> int:
    """How many numbers of a pass over `tokens` tokens, without gradients, are alive at its fullest moment. An estimate.

    tokens × the larger of: 2 · hidden + (2 · heads + 2 · kv_heads) · head_dim, in attention (the stream, its normalised
    copy, queries, keys, values, contexts); 2 · hidden + 2 · intermediate (4 · when gated), in the feed-forward network.
    It leaves out what a kernel keeps for itself.
    """
    attention = 2 * (spec.num_heads + spec.num_kv_heads) * spec.head_dim
    feed_forward = (4 if spec.gated else 2) * spec.intermediate_size
    return tokens * (2 * spec.hidden_size + max(attention, feed_forward))


def _embedding_parameters(spec: EncoderSpec) -> int:
    rows = spec.vocab_size + spec.num_token_types
    if isinstance(spec.added, LearnedPositions):
        rows += spec.added.max_positions
    factorised = spec.embedding_size != spec.hidden_size
    return rows * spec.embedding_size + factorised * (spec.embedding_size + 1) * spec.hidden_size


def _projection_weights(spec: EncoderSpec) -> int:
    """Of query, key, value and output of one layer."""
    return 2 * (spec.num_heads + spec.num_kv_heads) * spec.head_dim * spec.hidden_size


def _attention_parameters(spec: EncoderSpec) -> int:
    width, kv_width = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
    biases = spec.attention_bias * (width + 2 * kv_width) + spec.attention_output_bias * spec.hidden_size
    own = 0
    if isinstance(spec.relation, DisentangledPositions) and not spec.relation.shared_projections:
        own = _num_terms(spec.relation) * (spec.hidden_size + spec.attention_bias) * width
    return _projection_weights(spec) + biases + own


def _feed_forward_weights(spec: EncoderSpec) -> int:
    return (3 if spec.gated else 2) * spec.hidden_size * spec.intermediate_size


def _feed_forward_parameters(spec: EncoderSpec) -> int:
    up_biases = spec.up_bias * (2 if spec.gated else 1) * spec.intermediate_size
    return _feed_forward_weights(spec) + up_biases + spec.down_bias * spec.hidden_size


def _pair_work(spec: EncoderSpec) -> int:
    """One score and one weighted value, in every head."""
    return 2 * spec.num_heads * spec.head_dim


def _distance_work(spec: EncoderSpec) -> tuple[int, int]:
    """(once in a pass, per token) of one layer: the table through a projection, then with each token's query or key."""
    if not isinstance(spec.relation, DisentangledPositions):
        return 0, 0
    per_token = _num_terms(spec.relation) * _num_distances(spec.relation) * spec.num_heads * spec.head_dim
    return per_token * spec.hidden_size, per_token


def _num_terms(scheme: DisentangledPositions) -> int:
    return scheme.content_to_position + scheme.position_to_content


def _num_distances(scheme: DisentangledPositions) -> int:
    return 2 * (scheme.num_buckets or scheme.max_distance)
