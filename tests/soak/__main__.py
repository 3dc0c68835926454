"""Hours of virtual time, then minutes of real time, with faults by a seed.

Exit 1 if one is not survived; the last lines say how to play it again.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.soak.places import enter_namespace
from tests.soak.plan import TEXTS, SoakFault
from tests.soak.real import RealSoak
from tests.soak.virtual import VirtualSoak

NICE = 5


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    arguments.add_argument("--list", action="store_true", help="name the faults, and end")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--minutes", type=float, default=30.0, help="of real time; 0 for none")
    arguments.add_argument("--hours", type=float, default=2.0, help="of virtual time in each world; 0 for none")
    arguments.add_argument("--worlds", type=int, default=3, help="in virtual time, with seeds from --seed on")
    arguments.add_argument("--only", choices=[*SoakFault], action="append", metavar="FAULT", help="may be repeated")
    arguments.add_argument("--keep", type=Path, help="a new folder for homes and logs of the real peers")
    chosen = arguments.parse_args()
    if chosen.list:
        for kind, text in TEXTS.items():
            print(f"{kind:<8} {text}")
        return 0
    if chosen.minutes:
        enter_namespace(sys.argv[1:])
    os.nice(NICE)
    kinds = [SoakFault(name) for name in chosen.only] if chosen.only else [*SoakFault]
    failures: list[str] = []
    for world in range(chosen.worlds if chosen.hours else 0):
        virtual = VirtualSoak(chosen.seed + world, chosen.hours, kinds)
        virtual.play()
        print(virtual, flush=True)
        failures += virtual.failures
    if chosen.minutes:
        soak = RealSoak(chosen.seed, chosen.minutes, kinds)
        soak.play(chosen.keep)
        failures += soak.failures
    if not failures:
        print("all faults were survived")
        return 0
    print(f"\n{len(failures)} failures:")
    for text in failures:
        print(f"- {text}")
    only = "".join(f" --only {kind}" for kind in chosen.only or ())
    times = f"--minutes {chosen.minutes:g} --hours {chosen.hours:g} --worlds {chosen.worlds}"
    print(f"again: uv run python -m tests.soak --seed {chosen.seed} {times}{only}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
