"""vitrail: the Transformer encoder you can see through."""
