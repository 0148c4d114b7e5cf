"""Run time and memory of FaceDancer's configurations, beside those the thesis prints in table 5.4.

    python benchmarks/networks.py [--rounds 3] [--runs 3]

Each measurement is a process of its own: one crop of 256 px through the network with random weights, in torch, on one
thread. The configurations take turns, round by round. The time is processor time, which other work on the machine
changes little, and the least of all runs; the memory is the peak of resident memory above that of the process with
torch loaded. The thesis does not name its hardware (a graphics card, by its figures): only ratios between
configurations are comparable.
"""

import argparse
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

from masquerade.nets.facedancer import CONFIGURATIONS, FaceDancer
from masquerade.nets.summary import build, multiply_adds, parameters

REFERENCE = "c"


def processor() -> str:
    """The processor's name, or what the platform says of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def resident(*, peak: bool) -> float:
    """MiB of this process now, or the most it ever had (Linux; elsewhere not measured)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("nan")
    key = "VmHWM:" if peak else "VmRSS:"
    return float(next(line.split()[1] for line in lines if line.startswith(key))) / 1024


def measure(name: str, runs: int) -> None:
    """Prints the least milliseconds of `runs` after one to warm up, and the peak of memory in MiB."""
    torch.set_num_threads(1)
    before = resident(peak=False)
    net = FaceDancer(CONFIGURATIONS[name]).eval()
    crops, identities, _ = net.examples()
    times = []
    with torch.inference_mode():
        for _ in range(runs + 1):
            start = time.process_time()
            net(crops, identities)
            times.append(time.process_time() - start)
    print(min(times[1:]) * 1e3, resident(peak=True) - before)


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.one, args.runs)
        return
    milliseconds = dict.fromkeys(CONFIGURATIONS, float("inf"))
    mebibytes = dict.fromkeys(CONFIGURATIONS, 0.0)
    options = ["--runs", str(args.runs)]
    for _ in range(args.rounds):
        for name in CONFIGURATIONS:
            command = [sys.executable, __file__, "--one", name, *options]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            milliseconds[name] = min(milliseconds[name], float(printed[0]))
            mebibytes[name] = max(mebibytes[name], float(printed[1]))
    print(f"{processor()}, one thread, torch {torch.__version__}, float32, one crop of 256 px;", end=" ")
    print(f"ratios to configuration {REFERENCE.upper()}\n")
    print(
        "| configuration | parameters (M) | multiply-adds (G) | ms | MiB | ms ratio | thesis ms | ratio | thesis GB |"
    )
    print("|---" * 9 + "|")
    for name, configuration in CONFIGURATIONS.items():
        net = build(f"facedancer-{name}")
        ratio = milliseconds[name] / milliseconds[REFERENCE]
        theirs = configuration.milliseconds / CONFIGURATIONS[REFERENCE].milliseconds
        print(
            f"| {name} | {parameters(net) / 1e6:.1f} | {multiply_adds(net) / 1e9:.1f} | {milliseconds[name]:.0f} "
            f"| {mebibytes[name]:.0f} | {ratio:.2f} | {configuration.milliseconds} | {theirs:.2f} "
            f"| {configuration.gigabytes} |"
        )


if __name__ == "__main__":
    main()
