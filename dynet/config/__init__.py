"""Training recipes: YAML to frozen, validated models."""
