"""What `dynet restore` prints: results on stdout, faults and progress on stderr."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict

from dynet.progress import ProgressReport
from dynet.restoring.restore import Failed, Restored


def print_results(results: Iterable[Restored | Failed], total: int, *, as_json: bool) -> bool:
    """Print each result as it comes; True if none failed."""
    sound = True
    with ProgressReport("restore", total) as progress:
        for result in results:
            progress.advance(result.input.name)
            match result:
                case Failed(_, error):
                    sound = False
                    progress.say(f"dynet: {error}")
                case Restored(_, variant, output, _, _, seconds) if not as_json:
                    sys.stdout.write(f"{output}  {variant}  {seconds:.1f} s\n")
            if as_json:
                sys.stdout.write(json.dumps(asdict(result), default=str) + "\n")
            sys.stdout.flush()
    return sound
