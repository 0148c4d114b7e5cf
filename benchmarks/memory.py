"""Peak resident memory of a short and of a long video, which should be the same.

    python benchmarks/memory.py CLIP [--minutes 10]

Repeats the clip's own packets, uncoded again, into a video of 10 seconds and one of --minutes, anonymizes each in a
process of its own and prints the largest resident memory the system saw of it.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import av


def repeat(clip: Path, seconds: float, output: Path) -> int:
    """Writes `clip`'s first video stream over and over until `seconds` are full. Returns the number of packets."""
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        assert stream.time_base is not None
        times = [packet.pts for packet in packets if packet.pts is not None]
        length = max(times) - min(times) + (packets[-1].duration or 1)
        count = 0
        with av.open(str(output), "w") as sink:
            copy = sink.add_stream_from_template(stream)
            for turn in range(max(1, round(seconds / float(length * stream.time_base)))):
                for packet in packets:
                    again = av.Packet(bytes(packet))
                    again.stream, again.time_base, again.is_keyframe = copy, packet.time_base, packet.is_keyframe
                    again.pts = None if packet.pts is None else packet.pts + turn * length
                    again.dts = None if packet.dts is None else packet.dts + turn * length
                    again.duration = packet.duration
                    sink.mux(again)
                    count += 1
    return count


def peak(clip: Path, output: Path) -> tuple[float, float]:
    """Peak resident mebibytes and seconds of `masquerade anonymize clip --method blur`."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "masquerade", "anonymize", str(clip), "-o", str(output), "--method", "blur", "-q"]
    process = os.spawnv(os.P_NOWAIT, sys.executable, command)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"masquerade failed with status {status}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return usage.ru_maxrss / unit, time.perf_counter() - start


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    args = parser.parse_args()
    print("| video | frames | peak memory | frames a second |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (10, 60 * args.minutes):
            long = Path(folder) / f"long{args.clip.suffix}"
            frames = repeat(args.clip, seconds, long)
            memory, took = peak(long, Path(folder) / f"out{args.clip.suffix}")
            print(f"| {seconds:.0f} s | {frames} | {memory:.0f} MiB | {frames / took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
