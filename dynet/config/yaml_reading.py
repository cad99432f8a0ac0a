"""YAML from people: what PyYAML takes silently, or fails at in any way, is an error that names the line."""

from pathlib import Path
from typing import Any

import yaml

from dynet.errors import RecipeError, reason_of


class _RecipeYaml(yaml.SafeLoader):
    """A YAML loader that rejects a repeated key, of which PyYAML alone silently uses the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # PyYAML's readers of numbers and dates let out whatever they meet
            problem = f"no value of its type: {reason_of(error)}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def read_yaml(file: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        RecipeError: It cannot be read or is no YAML, a key is there twice, or a number or a date is none.
    """
    try:
        return yaml.load(file.read_text(encoding="utf-8"), _RecipeYaml)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise RecipeError(f"{file} cannot be read: its values are nested too deeply") from error
