"""A model -> the same model, faster. Every backend is accepted against the model it was made from."""
