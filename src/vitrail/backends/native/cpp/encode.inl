// A chunk of whole sequences through all layers. The threads of its team share every step and meet between steps; a
// team of one never waits.

template <class Precision>
static void encode(const Model& model, const Chunk& chunk, const Activations& s, const Scratch& t, const Team& team) {
    const vt_sizes& sizes = model.sizes;
    const int rows = chunk.rows, hidden_width = model.hidden_width, wide_width = model.wide_width;
    const bool pre_norm = sizes.pre_norm;
    const int64_t from = team.from(rows), to = team.to(rows);
    // What products read: these floats, or in int8 and float16 copies of them, which follow one another in one place.
    const Rows hidden = Precision::input(s, pre_norm ? s.normed : s.hidden), context = Precision::input(s, s.qkv),
               wide = Precision::input(s, s.wide);
    constexpr bool copied = Precision::copied;
    // a copied row is as wide as its product; in float32 the context stands among queries, keys and values
    const int64_t context_stride = copied ? model.heads_width() : model.qkv_width;

    // The residual stream, normalised, as the next product reads it: in the stream's place, or beside it.
    const auto hand_over_hidden = [&](const Norm& norm) {
        for (int64_t r = from; r < to; r++) {
            float* row = s.hidden + r * hidden_width;
            float* normed = !pre_norm ? row : copied ? t.row : s.normed + r * hidden_width;
            normalize(sizes, row, sizes.hidden_size, hidden_width, norm, normed);
            hand_over_mixed<Precision>(normed, hidden_width, r, s, t);
        }
        team.meet();
    };
    const auto hand_over_rows = [&](const float* floats, int64_t stride, int size, bool mixed) {
        if (!copied) return;
        for (int64_t r = from; r < to; r++)
            if (mixed)
                hand_over_mixed<Precision>(floats + r * stride, size, r, s, t);
            else
                hand_over<Precision>(floats + r * stride, size, r, s);
        team.meet();
    };

    const bool projected = model.projection.weights;
    for (int64_t r = from; r < to; r++)
        embed(model, chunk, r, projected ? s.wide + r * model.embedding_width : s.hidden + r * hidden_width);
    if (projected) {
        team.meet();
        hand_over_rows(s.wide, model.embedding_width, model.embedding_width, true);
        product<Precision, Then::keep>(wide, model.embedding_width, model.projection, rows, team,
                                       s.hidden, hidden_width);
        team.meet();
    }
    hand_over_hidden(pre_norm ? model.steps[0].layer->attention_norm : Norm{});

    for (int index = 0; index < sizes.num_layers; index++) {
        const Step& step = model.steps[index];
        const Layer& layer = *step.layer;
        product<Precision, Then::keep>(hidden, hidden_width, layer.qkv, rows, team, s.qkv, model.qkv_width);
        team.meet();
        if (step.rotation) {
            for (int64_t r = from; r < to; r++)
                rotate(model, step.rotation->data + chunk.columns[r] * int64_t(sizes.rotary_dim),
                       s.qkv + r * model.qkv_width);
            team.meet();
        }
        attention<typename Precision::Attention>(model, step, chunk, s.qkv, t, team);
        team.meet();
        hand_over_rows(s.qkv, model.qkv_width, model.heads_width(), false);
        product<Precision, Then::add>(context, context_stride, layer.output, rows, team, s.hidden, hidden_width);
        team.meet();
        hand_over_hidden(pre_norm ? layer.feed_forward_norm : layer.attention_norm);
        activated_product<Precision>(hidden, hidden_width, layer.up, rows, team, s.wide, wide_width,
                                     {sizes.activation, sizes.gated != 0}, t.panel);
        team.meet();
        hand_over_rows(s.wide, wide_width, wide_width, model.wide_mixed);
        product<Precision, Then::add>(wide, wide_width, layer.down, rows, team, s.hidden, hidden_width);
        team.meet();
        if (!pre_norm)
            hand_over_hidden(layer.feed_forward_norm);
        else if (index + 1 < sizes.num_layers)
            hand_over_hidden(model.steps[index + 1].layer->attention_norm);
    }

    for (int64_t r = from; r < to; r++) {
        float* row = s.hidden + r * hidden_width;
        normalize(sizes, row, sizes.hidden_size, hidden_width, model.final_norm, row);
        __builtin_memcpy(chunk.out + chunk.tokens[r] * sizes.hidden_size, row, sizeof(float) * sizes.hidden_size);
    }
    team.meet();
}
