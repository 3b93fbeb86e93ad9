"""The bricks of an encoder. They know tensors; nothing of names, files or text.

Read them in this order: packing, embeddings, positions/, attention, kernels/, feed_forward, encoder_layer, pooling.
"""
