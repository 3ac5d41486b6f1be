"""A worker without a model that starts at once and does what it is asked to: for tests of all around it.

It is the real program but for two functions. A job's question is a word and a number, as in "sleep 5".
"""

import ctypes
import os
import signal
import time
from typing import Any

import numpy as np

from oryx.errors import CheckpointError
from oryx.serving.workers import main
from oryx.serving.workers.channel import pack_reply

held: list[bytearray] = []


class Rule:
    """The part of a processor that the program asks for."""

    patch_size = 16


class Tokenizer:
    """The same, of a tokenizer whose ids are any number."""

    def get_vocab(self) -> dict[str, int]:
        return {"": 2**62}


class Processor:
    rule = Rule()
    tokenizer = Tokenizer()
    image_token_id = 2**62 - 1


def prepare(setup: Any) -> Processor:
    if setup.folder.name == "broken":
        raise CheckpointError("the folder is broken.")
    return Processor()


def encode(processor: Any, request: Any, setup: Any) -> int:
    """Whatever the question says; the answer's only id is the number, or this process's."""
    job, _ = request
    word, _, number = job.messages[0]["content"].partition(" ")
    value = float(number or 0)
    if word == "sleep":
        time.sleep(value)
    elif word == "deaf":  # a decoder that hears of nothing until it is done, and lets no thread run
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        ctypes.PyDLL(None).usleep(int(value * 1e6))
    elif word == "die":
        os._exit(int(value))
    elif word == "signal":
        os.kill(os.getpid(), int(value))
    elif word == "hold":
        held.append(bytearray(int(value)))
    elif word == "raise":
        raise ValueError("of /etc/passwd")
    elif word == "broken":
        return pack_reply({"kind": "prompt"})
    elif word == "environment":
        return pack_reply({"kind": "refused", "message": " ".join(sorted(os.environ)), "status": 400})
    elif word == "pid":
        value = os.getpid()
    zero = np.zeros(0, np.int64)
    arrays = {"ids": np.array([int(value)]), "grids": zero.reshape(0, 2), "compressions": zero}
    arrays |= {"visual_lengths": zero, "visual_kinds": zero}
    return pack_reply({"kind": "prompt", "spans": []}, arrays)


main._prepare = prepare
main._encode = encode

if __name__ == "__main__":
    main.main()
