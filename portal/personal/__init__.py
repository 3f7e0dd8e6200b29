"""The personal range: models in versions, their training, what people say about a time, and findings of nights."""
