"""The types that flow through the pipeline."""
