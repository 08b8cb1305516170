"""The audit: inputs, evidence, parts of a result, a document; the main job is `pipeline`."""
