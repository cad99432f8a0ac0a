"""Reading YAML that people wrote: what PyYAML accepts silently, or fails at in any way, is an error with its line.

`million_ird.config.loading` reads its recipes by the same rules and with the same words; a test compares them.
"""

from pathlib import Path
from typing import Any

import yaml

from dynet.errors import RecipeError, reason_of


class _RecipeYaml(yaml.SafeLoader):
    """A YAML loader that rejects a repeated key, of which PyYAML would silently use the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"key {key.value!r} is repeated"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # `2024-02-30` looks like a date; PyYAML passes on any error of its parsers
            problem = f"a value cannot be read: {reason_of(error)}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def read_yaml(file: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        RecipeError: It cannot be read, is not YAML, has a key twice, or has a number or a date that is not valid.
    """
    try:
        return yaml.load(file.read_text(encoding="utf-8"), _RecipeYaml)
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file}: not UTF-8") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{file}: not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise RecipeError(f"{file}: is nested too deeply") from error
