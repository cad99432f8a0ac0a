"""Recipes and sources as users write them: YAML to frozen, validated models."""
