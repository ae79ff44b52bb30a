"""What an error in a rank means for its cell."""

from dissect.base.outcome import InvalidMeasurement, Phase, Status
from dissect.machine.device import Device
from dissect.machine.out_of_memory import is_host_out_of_memory, is_out_of_memory, is_thread_failure


def outcome_of(error: Exception, device: Device | None, phase: Phase) -> tuple[Status, Phase]:
    """The outcome of an error in ``phase``; call it before the device's memory limit is lifted.

    The phase becomes ``host`` where memory of the host ran out and the device has its own.
    """
    return _status_of(error, device), Phase.HOST if _is_of_the_host(error, device) else phase


def _status_of(error: Exception, device: Device | None) -> Status:
    if is_out_of_memory(error) or (is_thread_failure(error) and device is not None and device.is_full()):
        return Status.OOM
    return Status.INVALID if isinstance(error, InvalidMeasurement) else Status.FAILED


def _is_of_the_host(error: Exception, device: Device | None) -> bool:
    return device is not None and device.own_memory and is_host_out_of_memory(error)
