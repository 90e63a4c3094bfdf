"""Speech for the page on fokker-wavegrad: sentences made of a few words, spoken by espeak-ng at three pitches.

python docs/contrib/wavegrad_speech.py FOLDER [N]

writes N sentences (240 unless given) as FOLDER/000.wav, 001.wav, ... and what they say as FOLDER/sentences.txt. The
same N gives the same sentences; espeak-ng (the Debian package of that name) speaks alike where its version is the same.
"""

import random
import shutil
import subprocess
import sys
from pathlib import Path

WHO = (
    "the old captain", "my younger sister", "a quiet teacher", "the baker next door", "every good doctor",
    "the tall gardener", "nobody in the village", "our new neighbour", "the first engineer", "a tired painter",
)  # fmt: skip
DOES = (
    "carried", "forgot", "described", "found", "sold", "measured", "repaired", "painted", "borrowed", "questioned",
    "watched", "hid",
)  # fmt: skip
WHAT = (
    "a box of oranges", "the wooden bridge", "three heavy books", "a letter from Norway", "the broken violin",
    "some yellow curtains", "the map of the harbour", "a jar of honey", "the smallest boat", "a pair of shoes",
    "the garden gate", "two silver spoons",
)  # fmt: skip
WHERE = (
    "before the winter", "at the railway station", "under the bright moon", "on Thursday morning", "beside the river",
    "while it was raining", "in the market square", "after a long journey", "without a word", "near the lighthouse",
)  # fmt: skip


def sentences(n: int) -> list[str]:
    """Different sentences, the same ones every time."""
    choose = random.Random(7)
    found: dict[str, None] = {}
    while len(found) < n:
        words = " ".join(choose.choice(part) for part in (WHO, DOES, WHAT, WHERE))
        found[words[0].upper() + words[1:] + "."] = None
    return list(found)


def main(folder: Path, n: int) -> None:
    """Speak them."""
    program = shutil.which("espeak-ng")
    if program is None:
        sys.exit("There is no espeak-ng here; on Debian, 'apt-get install espeak-ng' brings it.")
    folder.mkdir(parents=True, exist_ok=True)
    spoken = sentences(n)
    for i, text in enumerate(spoken):
        pitch = (35, 50, 65)[i % 3]
        command = [program, "-v", "en-us", "-s", "150", "-p", str(pitch), "-w", str(folder / f"{i:03d}.wav"), text]
        subprocess.run(command, check=True)
    lines = "".join(f"{i:03d} {text}\n" for i, text in enumerate(spoken))
    (folder / "sentences.txt").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 240)
