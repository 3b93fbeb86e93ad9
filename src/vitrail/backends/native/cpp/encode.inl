// A chunk of whole sequences through all layers. The threads of its team share every step and meet between steps; a
// team of one never waits.

template <class Precision>
static void encode(const Model& model, const Chunk& chunk, const Activations& s, const Scratch& t, const Team& team) {
    const vt_sizes& sizes = model.sizes;
    const int rows = chunk.rows;
    const int64_t from = team.from(rows), to = team.to(rows);
    const Rows hidden = Precision::input(s, s.hidden), context = Precision::input(s, s.qkv),
               wide = Precision::input(s, s.wide);
    // a row of quantised values is as wide as its product; in float32 the context stands among queries, keys and values
    const int64_t context_stride = context.scale ? model.heads_width() : model.qkv_width;

    const auto normalize_rows = [&](const Norm& norm) {
        for (int64_t r = from; r < to; r++) {
            float* row = s.hidden + r * model.hidden_width;
            normalize(row, sizes.hidden_size, norm, sizes.norm_epsilon);
            hand_over_hidden<Precision>(model, row, r, s, t);
        }
        team.meet();
    };
    const auto hand_over_rows = [&](const float* floats, int64_t stride, int size) {
        if (!context.scale) return;
        for (int64_t r = from; r < to; r++) hand_over<Precision>(floats + r * stride, size, r, s);
        team.meet();
    };

    for (int64_t r = from; r < to; r++) {
        float* row = s.hidden + r * model.hidden_width;
        embed(model, chunk, r, row);
        if (sizes.embedding_norm) normalize(row, sizes.hidden_size, model.embedding_norm, sizes.norm_epsilon);
        hand_over_hidden<Precision>(model, row, r, s, t);
    }
    team.meet();

    for (int index = 0; index < sizes.num_layers; index++) {
        const Layer& layer = model.layers[index];
        product<Precision, Then::keep>(hidden, model.hidden_width, layer.qkv, rows, team, s.qkv, model.qkv_width);
        team.meet();
        attention(model, chunk, s.qkv, t, team);
        team.meet();
        hand_over_rows(s.qkv, model.qkv_width, model.heads_width());
        product<Precision, Then::add>(context, context_stride, layer.output, rows, team, s.hidden, model.hidden_width);
        team.meet();
        normalize_rows(layer.attention_norm);
        product<Precision, Then::gelu>(hidden, model.hidden_width, layer.up, rows, team, s.wide, model.wide_width);
        team.meet();
        hand_over_rows(s.wide, model.wide_width, model.wide_width);
        product<Precision, Then::add>(wide, model.wide_width, layer.down, rows, team, s.hidden, model.hidden_width);
        team.meet();
        normalize_rows(layer.feed_forward_norm);
    }

    for (int64_t r = from; r < to; r++) {
        float* out = chunk.out + chunk.tokens[r] * sizes.hidden_size;
        __builtin_memcpy(out, s.hidden + r * model.hidden_width, sizeof(float) * sizes.hidden_size);
    }
    team.meet();
}
