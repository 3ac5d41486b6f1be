"""Signs that a video was cut off: what the packets that are there say against what its header promises."""

from typing import Any

# Containers whose headers declare a duration; of others libav works it out from what is left of the file.
DECLARING = ("matroska,webm", "flv", "asf", "mxf", "mov,mp4,m4a,3gp,3g2,mj2")
TS_PACKETS = (188, 192, 204)  # bytes of a packet of MPEG-TS, in its three variants
MAX_UNCOUNTED = 0.005  # share of the frames that a header may count too many
MIN_MISSING = 0.5  # seconds that a header's rounding, or a last frame that is shown for long, may not explain


def find_loss(
    container: Any, stream: Any, num_frames: int, end: float | None, gap: float, is_broken: bool
) -> str:
    """What says that frames are missing at the end, as the rest of a sentence; "" where nothing does.

    Args:
        num_frames: frames that were found.
        end: seconds at which the last of them ends; None where there are no times to rely on.
        gap: the most seconds between two of them.
        is_broken: the last packet is incomplete, or reading ended in an error.
    """
    if stream.frames - num_frames > stream.frames * MAX_UNCOUNTED:
        return f"is cut off: only {num_frames} of its {stream.frames} frames are there"
    is_ts = container.format.name == "mpegts"
    if is_broken or (is_ts and all(container.size % size for size in TS_PACKETS)):
        return "is cut off or damaged: its last packet is incomplete"
    declared = 0.0 if stream.frames else _declared_seconds(container, stream)
    if end is not None and declared - end > max(MIN_MISSING, 1.5 * gap):
        return (
            f"shows no frame after {end:.1f} of the {declared:.1f} seconds that its header promises: "
            "it may be cut off"
        )
    return ""


def _declared_seconds(container: Any, stream: Any) -> float:
    """The stream's duration, else the whole file's, as the header has it; 0 where it says nothing."""
    if container.format.name not in DECLARING:
        return 0.0
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    try:  # Matroska's tag of a stream: "00:00:10.000000000"
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (KeyError, ValueError):
        return (container.duration or 0) / 1e6
