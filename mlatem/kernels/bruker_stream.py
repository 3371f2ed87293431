# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of Bruker's map of packed spectra, walked without decoding it."""

# mypy: disable-error-code="misc"

from numba import njit

#: Where the first line of the map begins.
FIRST_LINE = 0x1A0
#: Bytes of a pixel before its spectrum.
PIXEL_HEADER = 22


@njit(cache=True, nogil=True)
def first_fault(stream, n_rows, n_columns, block_size):  # type: ignore[no-untyped-def]
    """Where a stream of packed spectra first contradicts itself.

    A decoder that follows the sizes in the stream stays inside the stream and the map where there
    is no such place.

    Parameters
    ----------
    stream : ndarray of shape (n_bytes,), uint8
    n_rows, n_columns : int
        Of the map.
    block_size : int
        Largest number of bytes that a decoder takes at a time.

    Returns
    -------
    position : int
        In bytes; -1 where there is none.

    Notes
    -----
    A line is the number of its pixels and the pixels. A pixel is its column, 18 bytes of which the
    packing, the number of single pulses and the size of the spectrum count here, and the spectrum:
    channels of 16 bits (packing 0), channels of 12 bits (1), or runs of channels (other).
    """
    if len(stream) < FIRST_LINE + 4 or _word(stream, 0) > n_rows:
        return 0
    position = FIRST_LINE
    for _ in range(_word(stream, 0)):
        if position + 4 > len(stream):
            return position
        n_pixels = _word(stream, position)
        position += 4
        for _ in range(n_pixels):
            if position + PIXEL_HEADER > len(stream) or _word(stream, position) >= n_columns:
                return position
            end = _spectrum_end(stream, position, block_size)
            if end < 0:
                return position
            position = end
    return -1


@njit(cache=True, nogil=True)
def _spectrum_end(stream, pixel, block_size):  # type: ignore[no-untyped-def]
    """Where the pixel at `pixel` ends; -1 where it cannot be."""
    packing, n_pulses = _half(stream, pixel + 12), _half(stream, pixel + 16)
    size = _word(stream, pixel + 18)
    begin = pixel + PIXEL_HEADER
    end = begin + size
    if end > len(stream) or size > block_size:
        return -1
    if packing == 0:
        return end if 2 * n_pulses <= size else -1
    if packing == 1:
        last = n_pulses - 1
        needed = 6 * (last // 4) + min(6, 2 * (last % 4) + 2) if n_pulses else 0
        return end if needed <= size else -1
    # Four bytes of the size belong to what follows the runs.
    if size < 4 or not _runs_fit(stream, begin, end - 4):
        return -1
    end += 2 * n_pulses
    return end if end <= len(stream) else -1


@njit(cache=True, nogil=True)
def _runs_fit(stream, begin, end):  # type: ignore[no-untyped-def]
    """Whether runs of channels (width, number, offset, values) fill begin to end."""
    if end - begin > 0xFFFF:
        return False
    position = begin
    while position < end:
        if position + 2 > end:
            return False
        width, n_channels = stream[position], stream[position + 1]
        position += 2
        if width == 0:
            continue
        if width not in (1, 2, 4, 8):
            return False
        # Values have half the bits of the offset.
        position += width + (n_channels * width + 1) // 2
        if position > end:
            return False
    return True


@njit(cache=True, nogil=True)
def _half(stream, position):  # type: ignore[no-untyped-def]
    return int(stream[position]) | int(stream[position + 1]) << 8


@njit(cache=True, nogil=True)
def _word(stream, position):  # type: ignore[no-untyped-def]
    return _half(stream, position) | _half(stream, position + 2) << 16
