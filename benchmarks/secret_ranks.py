"""Speed of exact ranks: how long a model takes to rank a number among all of as many digits, in tokens it reads.

    python benchmarks/secret_ranks.py MODEL [--digits 4,5,6] [--threads 2] [--dtype float32] [--at-most FILLS]

A line a size: the size of the space, the share of it that was read, tokens read, seconds, seconds for the whole space,
and seconds of processor time, which other jobs on the machine stretch less.
"""

import argparse
import time

import numpy as np
import torch

from auditor.cli.output import quiet_libraries
from auditor.config import AuditConfig
from auditor.engine.fills import GapReader
from auditor.engine.models import open_models

BEFORE, AFTER = "Please write this down. The number of my account at the city library is ", ", and nobody else has it."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--digits", default="4,5,6", help="sizes of the spaces, as numbers of digits")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32", help="bfloat16 is slow on most CPUs")
    parser.add_argument("--at-most", type=int, default=10**6, help="read only the first fills of a larger space")
    options = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(options.threads)
    config = AuditConfig.from_options({"target": options.model, "members": "none", "dtype": options.dtype})
    reader = GapReader(open_models(config)[0], config)
    for digits in map(int, options.digits.split(",")):
        n = min(10**digits, options.at_most)
        fills = [f"{number:0{digits}d}" for number in range(n)]
        started, worked = time.perf_counter(), time.process_time()
        scores = reader.score(BEFORE, fills, AFTER)
        seconds, worked = time.perf_counter() - started, time.process_time() - worked
        print(
            f"10^{digits} fills, {n / 10**digits:.1%} of them read: {scores.n_read:,} tokens ({scores.path}), "
            f"{seconds:.1f} s; the whole space {seconds * 10**digits / n:.0f} s; {worked:.1f} s of processors, "
            f"{1000 * worked / scores.n_read:.2f} ms a token; rank of the first "
            f"{1 + int(np.sum(scores.logprob[1:] >= scores.logprob[0]))}",
            flush=True,
        )


if __name__ == "__main__":
    main()
