"""Judge a dataset: measure it independently of the builder, give a verdict, and show the worst first."""
