"""The device that people name: auto, cpu, cuda, cuda:1."""

from slidelake.errors import UsageError

__all__ = ["device_name"]


def device_name(device: str) -> str:
    """torch's name of a device, "auto" being the GPU where there is one; raises UsageError."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as exc:
        raise UsageError(f"{device!r} is not a device", remedy="Give auto, cpu, cuda or cuda:1.") from exc
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"there is no GPU for device {device!r}", remedy='Use device="auto" or "cpu".')
    return device
