"""Damage files and use them: `python -m tests.fuzz.run tables --files 1000 --seed 0`.

It ends with exit code 1 and the failure at the first file that raises what it should not, takes longer than the limit (the
stack is printed), or asks for more memory than the limit. The same seed damages the same files in the same way, and
`--first N --files 1` repeats one of them.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import functools
import random
import resource
import sys
import time
import traceback
import warnings

from tests.fuzz.corpus import Sample
from tests.fuzz.targets import TARGETS

SECONDS_PER_FILE = 60
MEMORY = 2 << 30  # beyond what the process has when it starts


@functools.cache
def samples_of(target: str) -> list[Sample]:
    """The valid files of a target, made once."""
    return TARGETS[target].samples()


def damaged(target: str, seed: int, number: int) -> tuple[str, bytes]:
    """The file of a number: the name of the sample that it was, and its bytes."""
    samples = samples_of(target)
    rng = random.Random(f"{seed}/{number}")
    sample = samples[number % len(samples)]
    return sample.name, rng.choice(sample.ways)(sample.data, rng, [one.data for one in samples])


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 if all went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--files", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    given = parser.parse_args(arguments)
    target = TARGETS[given.target]
    for sample in target.samples():
        target.use(sample.data)  # as it is, and so that everything is loaded before memory is limited
    with open("/proc/self/statm", encoding="ascii") as file:
        limit = int(file.read().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("error")
    ended: collections.Counter[str] = collections.Counter()
    slowest, start = 0.0, time.monotonic()
    for number in range(given.first, given.first + given.files):
        if time.monotonic() - start > given.seconds:
            break
        name, data = damaged(given.target, given.seed, number)
        if (number - given.first) % 100 == 0:  # where to look after a crash of the interpreter
            print(f"from file {number}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(SECONDS_PER_FILE, exit=True)
        began = time.monotonic()
        try:
            target.use(data)
            ended["used"] += 1
        except target.allowed as error:
            ended[type(error).__name__] += 1
        except BaseException:
            traceback.print_exc()
            print(f"file {number} ({name}) of seed {given.seed} failed: --first {number} --files 1 repeats it")
            return 1
        slowest = max(slowest, time.monotonic() - began)
    faulthandler.cancel_dump_traceback_later()
    counts = ", ".join(f"{count:,} {what}" for what, count in ended.most_common())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{ended.total():,} files: {counts}; slowest {slowest:.2f} s, peak {peak:,} MiB, seed {given.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
