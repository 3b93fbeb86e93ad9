"""How an encoder knows the order of its tokens: one scheme per file.

They enter at three places:
    added to the embeddings          sinusoidal, learned
    turning query and key            rotary
    added to the attention scores    alibi, relative_bias, disentangled (each a `Relation`)
"""
